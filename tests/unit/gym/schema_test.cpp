#include "gym/schema.hpp"

#include "support.hpp"
#include <gtest/gtest.h>

namespace troupe {
namespace {

struct schema_case {
  std::string schema, value;
  std::string fault; ///< empty: fits
};

TEST(TheSchemaCheck, FindsTheFirstFaultAndSaysWhatWasFoundAndExpected) {
  const std::vector<schema_case> cases{
      {R"({})", R"({"a":1})", ""},
      {R"({"type":"object"})", R"([])", "arguments: found a list, expected an object"},
      {R"({"type":["string","null"]})", R"(null)", ""},
      {R"({"type":["string","null"]})", R"(1)", "arguments: found a number, expected a string or a null"},
      {R"({"type":"integer"})", R"(3.0)", ""},
      {R"({"type":"integer"})", R"(3.5)", "arguments: found a number, expected an integer"},
      {R"({"type":"number","minimum":1.5})", R"(1)", "arguments: found 1, expected at least 1.5"},
      {R"({"type":"number","maximum":2})", R"(1e300)", "arguments: found 1e+300, expected at most 2"},
      {R"({"type":"boolean"})", R"(true)", ""},
      {R"({"minLength":2})", "\"\u00e9\"", "arguments: found 1 characters, expected at least 2"},
      {R"({"maxLength":2})", "\"\u00e9\u00e9\"", ""},
      {R"({"maxLength":2})", R"("abc")", "arguments: found 3 characters, expected at most 2"},
      {R"({"maxLength":2})", R"([1,2,3])", ""},
      {R"({"minItems":1})", R"([])", "arguments: found 0 items, expected at least 1"},
      {R"({"maxItems":1})", R"([1,2])", "arguments: found 2 items, expected at most 1"},
      {R"({"items":{"type":"string"}})", R"(["a",1])", "arguments[1]: found a number, expected a string"},
      {R"({"required":["a"]})", R"({"b":1})", "arguments: \"a\" is missing"},
      {R"({"properties":{"a":{"type":"string"}}})", R"({"a":1})", "\"a\": found a number, expected a string"},
      {R"({"properties":{"a":{}},"additionalProperties":false})", R"({"b":1})",
       "arguments: \"b\" is not a known argument"},
      {R"({"additionalProperties":{"type":"string"}})", R"({"b":1})",
       "\"b\": found a number, expected a string"},
      {R"({"properties":{"a":{"properties":{"b":{"minimum":0}}}}})", R"({"a":{"b":-1}})",
       "\"b\": found -1, expected at least 0"},
      {R"({"enum":["x",1]})", R"(1)", ""},
      {R"({"enum":["x",1]})", R"("y")", R"(arguments: found "y", expected one of ["x",1])"},
      {R"({"type":7,"items":3,"required":"a","minLength":"x"})", R"("y")",
       "arguments: found a string, expected an unknown type"},
  };
  for (const auto& one : cases) {
    const auto fault = schema_fault(test::as_object(one.schema), *json::parse(one.value));
    EXPECT_EQ(fault.value_or(""), one.fault) << one.schema << " against " << one.value;
  }
}

} // namespace
} // namespace troupe
