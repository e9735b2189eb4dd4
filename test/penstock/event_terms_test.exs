defmodule Penstock.EventTermsTest do
  # The terms of events as the native library builds them, and as the same description writes them for other nodes.
  use ExUnit.Case, async: true

  import Penstock.Answerer

  alias Penstock.{EventStore, Json}
  alias Penstock.Soak.Http2

  setup_all do
    {:ok, entries} = Json.decode(File.read!(Path.expand("../fixtures/event_terms.json", __DIR__)))
    %{entries: entries}
  end

  # In frames that every peer takes.
  @frame 16_384

  defp read(entries, options) do
    messages = for entry <- entries, into: "", do: Http2.message(Base.decode64!(entry["message"]))
    answer = fn _, s -> [head(s), frames(s, messages), trailers(s)] end
    store = start_supervised!({EventStore, connection_string: start(answer)}, id: make_ref())
    {:ok, events} = EventStore.read(store, "s", options)
    events
  end

  defp frames(stream, <<part::binary-size(@frame), rest::binary>>),
    do: [data(stream, [part]) | frames(stream, rest)]

  defp frames(stream, rest), do: [data(stream, [rest])]

  defp written(entries, kind),
    do: for(entry <- entries, do: entry[kind] |> Base.decode64!() |> :erlang.binary_to_term())

  test "captured and random events are the terms that their external form says", %{entries: entries} do
    assert length(entries) > 50

    for {json, kind} <- [raw: "raw", decode: "decoded"] do
      for {event, written} <- Enum.zip(read(entries, json: json), written(entries, kind)),
          do: assert(event === written)

      assert length(read(entries, json: json)) == length(entries)
    end
  end
end
