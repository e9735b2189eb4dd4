defmodule Penstock.ErrorTest do
  use ExUnit.Case, async: true

  alias Penstock.{Error, Native}

  test "the reasons are the Rust core's, no more and no fewer" do
    assert Error.reasons() == Native.error_reasons()
  end

  test "the type and the documentation name each reason, and no other" do
    {:ok, types} = Code.Typespec.fetch_types(Error)
    [{:type, _, :union, of_type}] = for {:type, {:reason, type, []}} <- types, do: type
    assert Enum.sort(for {:atom, _, reason} <- of_type, do: reason) == Enum.sort(Error.reasons())

    {:docs_v1, _, _, _, %{"en" => text}, _, _} = Code.fetch_docs(Error)
    documented = for [_, reason] <- Regex.scan(~r/^\| `:(\w+)` \|/m, text), do: String.to_atom(reason)
    assert documented == Error.reasons()
  end

  # What is spelt out in the sources cannot leave the list unnoticed.
  test "no source gives an error another reason" do
    for file <- Path.wildcard("lib/**/*.ex"),
        [_, reason] <- Regex.scan(~r/%(?:Penstock\.)?Error\{\s*reason: :(\w+)/, File.read!(file)) do
      assert String.to_atom(reason) in Error.reasons(), "#{file} gives :#{reason}"
    end
  end
end
