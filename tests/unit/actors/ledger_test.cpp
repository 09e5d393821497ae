#include "actors/ledger.hpp"

#include <gtest/gtest.h>

using namespace troupe;

namespace {

struct books {
  std::vector<record> admissions, consumptions, retirements, rollbacks;
  std::uint64_t seq = 0;
  record made(new_record r) { return {++seq, r.stream, r.kind, r.key, r.body, 0}; }
  void admit(std::uint64_t group, std::uint64_t version) {
    json::object body{{"group", group}, {"task", "q"}, {"version", version}, {"attempts", 2}};
    admissions.push_back(
        made({"admission", "admission", "admission/" + std::to_string(group), json::dump(body)}));
  }
  void consume(std::uint64_t step, std::uint64_t lineage, std::uint64_t group) {
    batch what;
    what.step = step;
    what.groups = {group};
    rl_sample one;
    one.id = rollout_key{purpose::train, group, 0}.text();
    what.samples = {one};
    what.retired = {{rollout_key{purpose::train, group, 1}.text(), "negative_dropped"}};
    consumptions.push_back(made(consumption_record(step, lineage, consumption_of(what))));
  }
  expected<ledger> fold() const { return fold_ledger(admissions, consumptions, retirements, rollbacks); }
};

} // namespace

TEST(ALedger, CountsWhatWasAdmittedTrainedAndRetired) {
  books b;
  for (std::uint64_t g = 0; g < 4; ++g) b.admit(g, g / 2);
  b.consume(0, 0, 0);
  b.consume(1, 0, 2);
  b.retirements.push_back(b.made(group_retired_record(1, "stale", 2)));
  const auto book = b.fold();
  ASSERT_TRUE(book) << to_string(book.error());
  EXPECT_EQ(book->admitted, 4u);
  EXPECT_EQ(book->steps, 2u);
  EXPECT_EQ(book->trained, 2u);
  EXPECT_EQ(book->retired.at("negative_dropped"), 2u);
  EXPECT_EQ(book->retired.at("stale"), 2u);
  EXPECT_EQ(book->retired_groups.size(), 1u);
  EXPECT_EQ(book->open_groups, std::set<std::uint64_t>{3});
  EXPECT_EQ(book->group_versions.at(3), 1u);
}

TEST(ALedger, DoesNotCountWhatADeadLearnerBookedBehindTheRollbackOfItsNextLife) { // LED-1
  books b;
  for (std::uint64_t g = 0; g < 4; ++g) b.admit(g, 0);
  b.consume(0, 0, 0);
  b.rollbacks.push_back(b.made(rollback_record(0, 0)));
  b.consume(1, 0, 1); // was on its way
  auto book = b.fold();
  ASSERT_TRUE(book);
  EXPECT_EQ(book->steps, 0u);
  EXPECT_EQ(book->trained, 0u);
  b.consume(0, 1, 1);
  b.consume(1, 1, 0);
  book = b.fold();
  ASSERT_TRUE(book);
  EXPECT_EQ(book->steps, 2u);
  EXPECT_EQ(book->trained, 2u);
  EXPECT_EQ(book->open_groups, (std::set<std::uint64_t>{2, 3}));
}

TEST(ALedger, TakesBackWhatARollbackUndidAndCountsWhatFollowedIt) { // LED-1
  books b;
  for (std::uint64_t g = 0; g < 3; ++g) b.admit(g, 0);
  b.consume(0, 0, 0);
  b.consume(1, 0, 1); // its checkpoint is lost ...
  b.rollbacks.push_back(b.made(rollback_record(1, 0)));
  auto book = b.fold();
  ASSERT_TRUE(book);
  EXPECT_EQ(book->steps, 1u);
  EXPECT_EQ(book->trained, 1u);
  EXPECT_EQ(book->lineage, 1u);
  EXPECT_TRUE(book->open_groups.contains(1)) << "what it consumed is pending again";
  b.consume(1, 1, 2); // ... and the step taken again with another batch
  book = b.fold();
  EXPECT_EQ(book->steps, 2u);
  EXPECT_EQ(book->trained, 2u);
  EXPECT_EQ(book->open_groups, std::set<std::uint64_t>{1});
}

TEST(ALedger, RefusesARecordThatMakesNoSense) {
  books b;
  b.admit(0, 0);
  b.admissions[0].body = "{}";
  EXPECT_EQ(b.fold().error().code, errc::corrupt);
  EXPECT_NE(b.fold().error().message.find("admission/0"), std::string::npos);
}
