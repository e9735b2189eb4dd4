defmodule Penstock.EventStore.StreamTest do
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, Filter}

  setup do
    start()
  end

  defp put(store, stream, count) do
    for numbers <- Enum.chunk_every(1..count, 100) do
      {:ok, _} = EventStore.append(store, stream, for(number <- numbers, do: Event.new("T", number)))
    end
  end

  defp bodies(enumerable), do: Enum.map(enumerable, & &1.body)

  test "every event comes once and in order, whatever the pages, both ways, of a stream and of the log", %{
    store: store
  } do
    put(store, "s", 250)
    numbers = Enum.to_list(1..250)

    for {target, filter} <- [{"s", nil}, {:all, Filter.by_stream(prefix: "s")}],
        pages <- [[], [page_size: 1], [page_size: 7], [page_size: 250], [page_bytes: 1], [page_bytes: 3000]] do
      options = [filter: filter] ++ pages
      assert store |> EventStore.stream(target, options) |> bodies() == numbers
      backwards = [direction: :backwards, from: :end] ++ options
      assert store |> EventStore.stream(target, backwards) |> bodies() == Enum.reverse(numbers)
      few = EventStore.stream(store, target, [max_count: 33] ++ options)
      assert bodies(few) == Enum.to_list(1..33)
    end
  end

  test "it begins where it is told, and is lazy: what is not wanted is not read", %{store: store} do
    put(store, "s", 100)
    assert store |> EventStore.stream("s", from: 90) |> bodies() == Enum.to_list(91..100)
    assert store |> EventStore.stream("s", from: :end) |> bodies() == []
    stream = EventStore.stream(store, "s", page_size: 10)
    assert stream |> Stream.take(15) |> bodies() == Enum.to_list(1..15)
    # begun anew it sees what has come since
    {:ok, _} = EventStore.append(store, "s", Event.new("T", 101))
    assert stream |> bodies() |> List.last() == 101
    assert Enum.zip(stream, stream) |> length() == 101
  end

  test "what is appended while it is read is read as well, up to where it is when it comes there", %{
    store: store
  } do
    put(store, "s", 20)

    seen =
      store
      |> EventStore.stream("s", page_size: 10)
      |> Stream.each(&if(&1.body == 15, do: put(store, "s", 3)))
      |> bodies()

    assert seen == Enum.to_list(1..20) ++ [1, 2, 3]
  end

  test "an error is raised, of a stream that is not there too", %{store: store} do
    error = assert_raise Error, fn -> Enum.to_list(EventStore.stream(store, "none")) end
    assert error.reason == :stream_not_found
    assert_raise ArgumentError, ~r/:page_size takes/, fn -> EventStore.stream(store, "s", page_size: 0) end
  end
end
