"""Drives a running `troupe serve` with OpenAI's own Python client, as an application would.

usage: openai_client.py BASE_URL KEY
Every check is an assertion; prints how many held.
"""
import sys

import openai

base_url, key = sys.argv[1:3]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)
checks = 0


def check(holds, what):
    global checks
    assert holds, what
    checks += 1


def refused(kind, call):
    try:
        call()
    except kind as error:
        check(error.body is None or "message" in error.body, f"{kind.__name__} without OpenAI's form: {error.body}")
        return error
    raise AssertionError(f"expected {kind.__name__}")


# -- models
model = client.models.list().data[0].id
check(client.models.list().data[0].object == "model", "models.list")

# -- completions
one = client.completions.create(model=model, prompt="the cat", max_tokens=8, seed=1, temperature=0.9)
check(one.choices[0].finish_reason in ("length", "stop"), "finish_reason")
check(one.usage.completion_tokens <= 8 and one.usage.total_tokens == one.usage.prompt_tokens + one.usage.completion_tokens, "usage")
two = client.completions.create(model=model, prompt="the cat", max_tokens=8, seed=1, temperature=0.9)
check(one.choices[0].text == two.choices[0].text, "the same seed gives the same text")
several = client.completions.create(model=model, prompt=["the cat", "the dog"], max_tokens=4, n=3, logprobs=2, echo=True)
check([choice.index for choice in several.choices] == list(range(6)), "two prompts, three choices each")
check(several.choices[0].text.startswith("the cat") and several.choices[3].text.startswith("the dog"), "echo")
check(len(several.choices[0].logprobs.tokens) == len(several.choices[0].logprobs.token_logprobs), "logprobs")
streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(
    model=model, prompt="the cat", max_tokens=8, seed=1, temperature=0.9, stream=True))
check(streamed == one.choices[0].text, "a stream says the same")

# -- chats
messages = [{"role": "system", "content": "You rhyme."}, {"role": "user", "content": [{"type": "text", "text": "the cat"}]}]
sampling = {"min_p": 0.01, "top_k": 50}
chat = client.chat.completions.create(model=model, messages=messages, max_tokens=12, seed=2, n=2, logprobs=True, top_logprobs=3,
                                      extra_body={"return_token_ids": True} | sampling)
check(chat.choices[0].message.role == "assistant" and chat.choices[0].message.content is not None, "message")
check(len(chat.choices) == 2 and chat.choices[0].message.content != chat.choices[1].message.content, "n = 2")
content = chat.choices[0].logprobs.content
check(len(content) == len(chat.choices[0].token_ids) and all(len(entry.top_logprobs) <= 3 for entry in content), "logprobs of a chat")
check(bytes(content[0].bytes).decode(errors="replace") == content[0].token, "bytes")
check(len(chat.prompt_token_ids) == chat.usage.prompt_tokens, "return_token_ids")

text, usage, roles = "", None, 0
for chunk in client.chat.completions.create(model=model, messages=messages, max_tokens=12, seed=2, stream=True,
                                            stream_options={"include_usage": True}, extra_body=sampling):
    if chunk.usage:
        usage = chunk.usage
    for choice in chunk.choices:
        roles += choice.delta.role is not None
        text += choice.delta.content or ""
check(text == chat.choices[0].message.content, "a streamed chat says the same")
check(roles == 1 and usage is not None and usage.prompt_tokens == chat.usage.prompt_tokens, "usage at a stream's end")

stop = chat.choices[0].message.content[3:5]
if stop:
    cut = client.chat.completions.create(model=model, messages=messages, max_tokens=12, seed=2, stop=[stop], extra_body=sampling)
    check(stop not in cut.choices[0].message.content and cut.choices[0].finish_reason == "stop", "stop")

# -- tools
tools = [{"type": "function", "function": {"name": "get", "description": "Gets.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
told = client.chat.completions.create(model=model, max_tokens=8, tools=tools, tool_choice="auto", messages=[
    {"role": "user", "content": "where?"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get", "arguments": "{\"city\": \"Rome\"}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}])
check(told.choices[0].message.tool_calls is None, "nonsense is no call")
plain = client.chat.completions.create(model=model, max_tokens=8, messages=[{"role": "user", "content": "where?"}])
check(told.usage.prompt_tokens > plain.usage.prompt_tokens + 40, "tools and calls are in the prompt")

# -- errors, as the client knows them
check(refused(openai.NotFoundError, lambda: client.completions.create(model="gpt-4", prompt="a")).code == "model_not_found", "404")
refused(openai.BadRequestError, lambda: client.completions.create(model=model, prompt=""))
refused(openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=[]))
refused(openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=messages, temperature=-3))
long = refused(openai.BadRequestError, lambda: client.completions.create(model=model, prompt="the cat " * 2000))
check(long.code == "context_length_exceeded", "the context's length")
refused(openai.AuthenticationError, lambda: client.with_options(api_key="wrong").models.list())
check(client.completions.create(model=model, prompt="a", max_tokens=2).choices[0].text is not None, "and it still serves")

# -- a client that leaves in the middle
stream = client.completions.create(model=model, prompt="the cat", max_tokens=200, stream=True)
next(iter(stream))
stream.close()

print(f"{checks} checks hold with openai {openai.__version__}")
