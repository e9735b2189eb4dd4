defmodule Penstock.EventTest do
  use ExUnit.Case, async: true
  doctest Penstock.Event

  alias Penstock.Event

  test "a new event has a random id of version 4, JSON as content type and no custom metadata" do
    event = Event.new("t", %{"a" => 1})
    assert event.id =~ ~r/\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z/
    assert event.metadata == %{content_type: "application/json", custom_metadata: ""}
    refute Event.new("t", nil).id == event.id
  end

  test "an id that is given is kept in lower case" do
    assert Event.new("t", 1, id: "ABCDEF00-0000-0000-0000-000000000001").id ==
             "abcdef00-0000-0000-0000-000000000001"
  end

  test "what an event cannot be is refused by name, with what it got and what it takes" do
    for {args, parts} <- [
          {["", 1], ["type", ~s(""), "not empty"]},
          {[:t, 1], ["type", ":t"]},
          {["t", 1, [id: "x"]], [":id", ~s("x"), "UUID"]},
          {["t", 1, [id: 7]], [":id", "7", "UUID"]},
          {["t", 1, [content_type: "text/plain"]], [":content_type", "text/plain", "application/json"]},
          {["t", 1, [content_type: "application/octet-stream"]], ["body", "1", "binary"]},
          {["t", 1, [custom_metadata: %{}]], [":custom_metadata", "%{}", "binary"]},
          {["t", 1, [colour: :red]], [":colour", ":content_type"]},
          {["t", 1, [id: nil, id: nil]], [":id", "once"]},
          {["t", 1, %{}], ["%{}", "keyword"]}
        ] do
      error = assert_raise ArgumentError, fn -> apply(Event, :new, args) end
      for part <- parts, do: assert(error.message =~ part)
    end
  end

  test "the body is stored as JSON, as the text it is, or as the binary it is" do
    assert Event.data(Event.new("t", %{"a" => [1, nil]})) == {:ok, ~s({"a":[1,null]})}
    assert Event.data(Event.new("t", "text")) == {:ok, ~s("text")}
    assert Event.data(Event.new("t", {:raw, "{}"})) == {:ok, "{}"}
    assert Event.data(Event.new("t", <<255>>, content_type: "application/octet-stream")) == {:ok, <<255>>}
    assert {:error, message} = Event.data(Event.new("t", %{"at" => self()}))
    assert message =~ ~s($["at"] is a pid)
  end

  test "the revision is the link's if there is one" do
    event = %Event{metadata: %{stream_revision: 3}}
    assert Event.revision(event) == 3
    assert Event.revision(%{event | link: %Event{metadata: %{stream_revision: 9}}}) == 9
    assert Event.revision(Event.new("t", 1)) == nil
  end
end
