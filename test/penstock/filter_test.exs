defmodule Penstock.FilterTest do
  use ExUnit.Case, async: true

  alias Penstock.Filter

  test "a prefix may be one or several, a regular expression text or a Regex with flags that servers know" do
    assert Filter.by_type(prefix: "a").pattern == {:prefix, ["a"]}
    assert Filter.by_stream(prefix: ["a", "b"]).pattern == {:prefix, ["a", "b"]}
    assert Filter.by_type(regex: "^a").pattern == {:regex, "^a"}
    assert Filter.by_type(regex: ~r/^a/).pattern == {:regex, "^a"}
    assert {:regex, "(?" <> flags} = Filter.by_type(regex: ~r/^a/is).pattern
    assert flags in ["is)^a", "si)^a"]
  end

  test "what is no filter is refused, with what it got and what it takes" do
    for {options, what} <- [
          {[], ~r/either :prefix or :regex/},
          {[prefix: "a", regex: "b"], ~r/either :prefix or :regex/},
          {[prefix: []], ~r/:prefix takes a string in UTF-8, or a list of them/},
          {[prefix: ["a", 1]], ~r/:prefix takes/},
          {[prefix: [<<255>>]], ~r/:prefix takes/},
          {[regex: ""], ~r/:regex takes a regular expression that is not empty/},
          {[regex: ~r/a/U], ~r/no other flags than i, m, s and x, got: ~r/},
          {[prefix: "a", window: 0], ~r/:window takes an integer from 1 to 4294967295, got: 0/},
          {[prefix: "a", checkpoint_interval: 0], ~r/:checkpoint_interval takes/},
          {[prefx: "a"], ~r/unknown option :prefx/}
        ] do
      assert_raise ArgumentError, what, fn -> Filter.by_type(options) end
    end
  end
end
