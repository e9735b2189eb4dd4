defmodule Penstock.PositionTest do
  use ExUnit.Case, async: true
  doctest Penstock.Position

  alias Penstock.{Event, Position}

  test "what is no position is refused, and so is text that is none" do
    for {commit, prepare} <- [{-1, -1}, {1, 2}, {0x8000_0000_0000_0000, 0}, {1.0, 1}, {nil, nil}] do
      assert_raise ArgumentError, ~r/0 to 9223372036854775807/, fn -> Position.new(commit, prepare) end
    end

    for text <- ["", "C:1/P:2", "C:1/P:1 ", "C:-1/P:-1", "C:99999999999999999999/P:1", "c:1/p:1", "C:1"],
        do: assert(Position.parse(text) == :error)
  end

  test "positions are sorted as the log is" do
    positions =
      for {commit, prepare} <- [{9, 9}, {10, 2}, {2, 2}, {10, 10}], do: Position.new(commit, prepare)

    assert positions |> Enum.sort(Position) |> Enum.map(&to_string/1) ==
             ["C:2/P:2", "C:9/P:9", "C:10/P:2", "C:10/P:10"]
  end

  test "the position of an event that was reached by a link is the link's" do
    at = &%Event{metadata: %{commit_position: &1, prepare_position: &1}}
    assert Event.position(%{at.(5) | link: at.(9)}) == Position.new(9, 9)
    assert Event.position(Event.new("T", 1)) == nil
  end
end
