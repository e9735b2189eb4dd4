defmodule Penstock.Soak.Answers.Stream do
  @moduledoc false
  # The stream that the wrong server serves, and the messages about it.

  alias Penstock.Soak.Protobuf

  @name "answers"
  # Where the end is said to be, and how far the stream goes on from there, live.
  @events 150
  @live 20

  def name, do: @name
  def last, do: @events - 1
  def last_live, do: @events + @live - 1

  def event(revision, changes \\ []) do
    Protobuf.encode([{1, [{1, recorded(revision, changes)}, {3, revision * 64}]}])
  end

  @doc "The id of the event of this revision."
  def id(revision), do: "00000000-0000-4000-8000-" <> String.pad_leading("#{revision}", 12, "0")

  defp recorded(revision, changes) do
    named = %{"type" => "Answered", "content-type" => "application/json", "created" => "17000000000000000"}
    named = Map.merge(named, Map.new(changes[:named] || []))

    fields = [
      id: {1, [{2, id(revision)}]},
      stream: {2, [{3, @name}]},
      revision: {3, revision},
      prepare: {4, revision * 64},
      commit: {5, revision * 64},
      custom: {7, ""},
      data: {8, ~s({"n":#{revision}})}
    ]

    Keyword.values(Keyword.merge(fields, Keyword.delete(changes, :named))) ++
      for({name, value} <- named, do: {6, [{1, name}, {2, value}]})
  end

  def confirmation, do: Protobuf.encode([{2, [{1, "00000000-0000-4000-8000-000000000000"}]}])
  def checkpoint, do: Protobuf.encode([{3, [{1, 64}, {2, 64}]}])
  def not_found, do: Protobuf.encode([{4, [{1, [{3, @name}]}]}])
  def first_position(revision), do: Protobuf.encode([{5, revision}])
  def last_position(revision), do: Protobuf.encode([{6, revision}])
  def caught_up, do: Protobuf.encode([{8, ""}])
  def fell_behind, do: Protobuf.encode([{9, ""}])
  def unknown, do: Protobuf.encode([{15, "what a later version says"}])
  def appended(revision), do: Protobuf.encode([{1, [{1, revision}, {3, [{1, 64}, {2, 64}]}]}])
end
