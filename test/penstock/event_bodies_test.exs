defmodule Penstock.EventBodiesTest do
  # What was read and is appended again.
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Event, EventStore}

  setup_all do
    start()
  end

  setup do
    %{stream: "s-#{System.unique_integer([:positive])}"}
  end

  @undecodable [
    "",
    " ",
    "{",
    "{nonsense",
    "1e400",
    "[1e400]",
    ~s({"a":-1e999}),
    <<0xEF, 0xBB, 0xBF, "{}">>,
    ~S("\ud834"),
    ~S(["\udd1e\ud834"]),
    <<"\"", 0xFF, "\"">>,
    <<0xC0, 0x80>>,
    <<0>>,
    "nul",
    "NaN",
    "Infinity",
    "01",
    "+1",
    "1.",
    ".5",
    "'a'",
    "{} {}",
    "[1,]",
    ~s({"a":1,}),
    "// a comment",
    "\"a\nb\"",
    String.duplicate("[", 128) <> String.duplicate("]", 128),
    String.duplicate("[", 100_000),
    String.duplicate("[", 100_000) <> String.duplicate("]", 100_000),
    String.duplicate("9", 1001)
  ]

  # Text that is written as it was also by way of terms.
  @canonical [
    "null",
    "true",
    ~s(""),
    ~s("5@s"),
    "0",
    "-1",
    "18446744073709551616",
    "1" <> String.duplicate("0", 999),
    "1.5",
    "-0.0",
    "[]",
    "{}",
    ~s({"a":[1,null,{"b":"é𝄞"}]}),
    ~S("\u0000\n\"\\"),
    "[" <> Enum.map_join(1..20_000, ",", &to_string/1) <> "]"
  ]

  # Text that terms know the value of, and no more.
  @other [
    {" 1", 1},
    {~s({ "b" : 1,\r\n\t"a" : 2 }\n), %{"a" => 2, "b" => 1}},
    {~s({"b":1,"a":2}), %{"a" => 2, "b" => 1}},
    {~s({"a":1,"a":2}), %{"a" => 2}},
    {"-0", 0},
    {"1e2", 100.0},
    {"1E+2", 100.0},
    {"0.1000000000000000055511151231257827", 0.1},
    {"1e-400", 0.0},
    {~S("\u0041\/"), "A/"}
  ]

  defp append(store, stream, bodies) do
    {:ok, _} = EventStore.append(store, stream, for(body <- bodies, do: Event.new("T", {:raw, body})))
  end

  # The bytes that a copy of the stream holds, when it was read so.
  defp copied(store, stream, options) do
    {:ok, events} = EventStore.read(store, stream, options)
    {:ok, _} = EventStore.append(store, stream <> "-copy", events)
    stored(store, stream <> "-copy")
  end

  defp stored(store, stream) do
    {:ok, events} = EventStore.read(store, stream, json: :raw)
    for event <- events, do: event.body
  end

  test "what was read raw is written with the same bytes, whatever they are", %{store: store, stream: stream} do
    bodies = @undecodable ++ @canonical ++ for({text, _term} <- @other, do: text)
    append(store, stream, bodies)
    assert stored(store, stream) == bodies
    assert copied(store, stream, json: :raw) == bodies
  end

  test "what cannot be decoded is written with the same bytes", %{store: store, stream: stream} do
    append(store, stream, @undecodable)
    {:ok, events} = EventStore.read(store, stream)
    assert for(event <- events, do: event.body) == for(body <- @undecodable, do: {:undecodable, body})
    assert copied(store, stream, json: :decode) == @undecodable
  end

  test "what was decoded is written as the same value", %{store: store, stream: stream} do
    append(store, stream, @canonical)
    assert copied(store, stream, json: :decode) == @canonical
    other = stream <> "-other"
    append(store, other, for({text, _term} <- @other, do: text))
    copies = copied(store, other, json: :decode)

    assert for(copy <- copies, do: Penstock.Json.decode(copy)) ==
             for({_text, term} <- @other, do: {:ok, term})

    # and from then on with the same bytes
    assert copied(store, other <> "-copy", json: :decode) == copies
  end

  test "an event that was read raw and is decoded afterwards keeps its bytes", %{store: store, stream: stream} do
    append(store, stream, @undecodable ++ for({text, _term} <- @other, do: text))
    {:ok, raw} = EventStore.read(store, stream, json: :raw)
    {:ok, decoded} = EventStore.read(store, stream)
    events = Enum.map(raw, &Event.decode/1)
    assert for(event <- events, do: event.body) == for(event <- decoded, do: event.body)
    assert Enum.map(events, &Event.decode/1) == events
    {:ok, _} = EventStore.append(store, stream <> "-copy", events)
    assert stored(store, stream <> "-copy") == stored(store, stream)
  end

  test "a body that takes the place of a raw one is a term", %{store: store, stream: stream} do
    append(store, stream, [~s("text")])
    {:ok, [event]} = EventStore.read(store, stream, json: :raw)

    for {body, text} <- [{"text", ~s("text")}, {%{"a" => 1}, ~s({"a":1})}, {{:raw, "1"}, "1"}] do
      assert Event.data(%{event | body: body}) == {:ok, text}
      assert Event.data(%{Event.decode(event) | body: body}) == {:ok, text}
    end
  end

  test "bodies that are no JSON stay the bytes they are", %{store: store, stream: stream} do
    bodies = ["", "{}", <<0, 255>>, " 1"]

    {:ok, _} =
      EventStore.append(
        store,
        stream,
        for(body <- bodies, do: Event.new("T", body, content_type: "application/octet-stream"))
      )

    for json <- [:raw, :decode] do
      {:ok, events} = EventStore.read(store, stream, json: json)
      assert for(event <- events, do: event.body) == bodies
      refute Enum.any?(events, &is_map_key(&1.metadata, :raw_body))
      assert Enum.map(events, &Event.decode/1) == events
      copy = "#{stream}-#{json}"
      {:ok, _} = EventStore.append(store, copy, events)
      assert stored(store, copy) == bodies
    end
  end

  test "a link is written as a link again, also one whose content type is JSON", %{
    store: store,
    stream: stream
  } do
    append(store, stream, ["1"])

    links =
      for type <- ["application/json", "application/octet-stream"],
          do: Event.new("$>", link_body("0@" <> stream, type), content_type: type)

    {:ok, _} = EventStore.append(store, stream <> "-links", links)

    for json <- [:raw, :decode] do
      {:ok, events} = EventStore.read(store, stream <> "-links", json: json)
      copy = "#{stream}-#{json}"
      {:ok, _} = EventStore.append(store, copy, Enum.map(events, & &1.link))
      assert {:ok, [first, second]} = EventStore.read(store, copy)
      assert [first.body, second.body] == [1, 1]
      assert Enum.map([first, second], &Event.revision/1) == [0, 1]
    end
  end

  defp link_body(place, "application/json"), do: {:raw, place}
  defp link_body(place, _type), do: place

  test "a link whose event is gone has nothing to append, which is said", %{store: store, stream: stream} do
    link = Event.new("$>", "7@#{stream}-none", content_type: "application/octet-stream")
    {:ok, _} = EventStore.append(store, stream, link)
    {:ok, [gone]} = EventStore.read(store, stream)
    error = assert_raise ArgumentError, fn -> EventStore.append(store, stream <> "-copy", gone) end
    assert error.message =~ "a link whose own event is gone"
    assert {:ok, _} = EventStore.append(store, stream <> "-copy", gone.link)
  end

  test "a subscription's events are written again as those that were read", %{store: store, stream: stream} do
    bodies = @undecodable ++ @canonical
    append(store, stream, bodies)

    for json <- [:raw, :decode] do
      producer = subscribe(store, stream, json: json)
      events = take(producer, consume(producer, 100), length(bodies))
      copy = "#{stream}-#{json}"
      {:ok, _} = EventStore.append(store, copy, events)
      assert stored(store, copy) == bodies
    end
  end
end
