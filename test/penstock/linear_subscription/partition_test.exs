defmodule Penstock.LinearSubscription.PartitionTest do
  use ExUnit.Case, async: true

  import Penstock.Player, only: [player: 2, received: 1, received: 2, ask: 2, cancel: 2, cancelled: 1]
  import Penstock.Store

  alias Penstock.{Event, EventStore, Stage, StageWire}

  @moduletag :capture_log

  setup do
    start()
  end

  defp partitioned(store, options \\ [], stream \\ "s"),
    do: subscribe(store, stream, dispatcher: {Penstock.PartitionDispatcher, [partitions: 3] ++ options})

  defp players(producer), do: for(partition <- 0..2, do: player(producer, partition: partition))

  # How many of the first `count` events each got, once all have come.
  defp shares(players, count) do
    shares = Enum.map(players, &received/1)
    missing = count - length(Enum.concat(shares))

    if missing > 0,
      do: Enum.zip_with([shares, shares(players, missing)], fn [one, other] -> one ++ other end),
      else: shares
  end

  test "each event goes to the consumer of its partition, in order, and they spread evenly", %{store: store} do
    fill(store, "s", 3000)
    players = store |> partitioned() |> players()
    for player <- players, do: ask(player, 3000)
    shares = shares(players, 3000)
    assert shares |> Enum.concat() |> Enum.sort() == Enum.to_list(0..2999)

    for share <- shares do
      assert share == Enum.sort(share)
      assert length(share) in 800..1200
    end

    # a wake after it was empty
    fill(store, "s", 30)
    assert players |> shares(30) |> Enum.concat() |> Enum.sort() == Enum.to_list(3000..3029)
  end

  test "the partition of an id is the same at each reading", %{store: store} do
    fill(store, "s", 300)

    [one, other] =
      for _ <- 1..2 do
        players = store |> partitioned() |> players()
        for player <- players, do: ask(player, 300)
        shares(players, 300)
      end

    assert one == other
  end

  test "by type, events of one type are in one partition", %{store: store} do
    types = for n <- 0..299, do: "Type#{rem(n, 10)}"
    append_types(store, "s", types)
    players = store |> partitioned(hash: :type) |> players()
    for player <- players, do: ask(player, 300)
    shares = shares(players, 300)
    assert shares |> Enum.concat() |> Enum.sort() == Enum.to_list(0..299)
    of_share = for share <- shares, do: share |> Enum.map(&Enum.at(types, &1)) |> Enum.uniq()
    assert of_share |> Enum.concat() |> Enum.sort() == types |> Enum.uniq() |> Enum.sort()
    for share <- shares, do: assert(share == Enum.sort(share))
  end

  test "by stream name, links are where their targets' stream is", %{store: store} do
    for n <- 0..9, do: fill(store, "account-#{n}", 10)

    links =
      for revision <- 0..9, n <- 0..9 do
        Event.new("$>", "#{revision}@account-#{n}", content_type: "application/octet-stream")
      end

    {:ok, _} = EventStore.append(store, "links", links)
    producer = partitioned(store, [hash: :stream_name], "links")
    tags = for partition <- 0..2, do: StageWire.subscribe(producer, make_ref(), nil, partition: partition)
    for tag <- tags, do: StageWire.ask(producer, tag, 100)
    await_info(producer, &(&1.state == :subscribed))
    of_tags = for tag <- tags, do: producer |> StageWire.batches(tag) |> Enum.concat()
    assert length(Enum.concat(of_tags)) == 100
    streams = for events <- of_tags, do: events |> Enum.map(& &1.metadata.stream_name) |> Enum.uniq()
    assert streams |> Enum.concat() |> Enum.sort() == for(n <- 0..9, do: "account-#{n}")
    assert Enum.count(streams, &(&1 != [])) > 1
  end

  test "what a consumer leaves in its partition's queue is its successor's", %{store: store} do
    fill(store, "s", 300)
    producer = partitioned(store)
    [first, second, third] = players(producer)
    for player <- [second, third], do: ask(player, 300)
    ask(first, 1)
    [of_first] = received(first, 1)
    Process.exit(third.pid, :kill)
    cancel(first, :enough)
    assert cancelled(first) == :enough
    successor = player(producer, partition: 0)
    ask(successor, 300)
    of_second = received(second)
    of_successor = received(successor)
    # nothing of the partitions that are served is missing or twice
    players = [second, successor]
    for player <- players, do: ask(player, 300)
    more = for player <- players, do: received(player)
    mine = [of_first | of_successor ++ Enum.at(more, 1)]
    assert mine == Enum.sort(mine) and mine == Enum.uniq(mine)
    all = store |> partitioned() |> players()
    for player <- all, do: ask(player, 300)
    [zero, one, _two] = shares(all, 300)
    assert mine == Enum.take(zero, length(mine))
    assert of_second ++ hd(more) == Enum.take(one, length(of_second ++ hd(more)))
  end

  test "it has caught up once what is queued has been given out", %{store: store} do
    fill(store, "s", 30)
    producer = partitioned(store)
    [first, second, third] = players(producer)
    for player <- [first, second], do: ask(player, 100)
    # all 30 are dealt, and some of them queued
    assert await_info(producer, &(&1.demand == 170)).state == :reading
    ask(third, 100)
    assert [first, second, third] |> shares(30) |> Enum.concat() |> Enum.sort() == Enum.to_list(0..29)
    await_info(producer, &(&1.state == :subscribed))
  end

  test "a partition has one consumer, or as many as it may have", %{store: store} do
    producer = partitioned(store)
    first = player(producer, partition: 1)
    assert cancelled(player(producer, partition: 1)) == {:partition_taken, 1}
    cancel(first, :done)
    assert cancelled(first) == :done
    assert received(player(producer, partition: 1)) == []
    several = partitioned(store, consumers_per_partition: 2)
    for _ <- 1..2, do: assert(received(player(several, partition: 1)) == [])
    assert cancelled(player(several, partition: 1)) == {:partition_taken, 1}
    assert [_, _] = Stage.info(several).consumers
  end

  test "a subscription names a partition that there is", %{store: store} do
    producer = partitioned(store)

    for {options, got} <- [{[], "none"}, {[partition: 3], "3"}, {[partition: "0"], ~s("0")}] do
      assert {:bad_opts, message} = cancelled(player(producer, options))
      assert message =~ "expected :partition to be one of [0, 1, 2], got: #{got}"
    end
  end

  test "a filter leaves out what a consumer does not want, and it is given to no other", %{store: store} do
    append_types(store, "s", for(n <- 0..299, do: "Type#{rem(n, 10)}"))
    producer = partitioned(store)
    wanted = {:match, %{type: "Type3"}}
    first = player(producer, partition: 0, filter: wanted)
    second = player(producer, partition: 1, filter: &(&1.type == "Type3"))
    third = player(producer, partition: 2)
    for player <- [first, second, third], do: ask(player, 300)
    await_info(producer, &(&1.state == :subscribed))
    [a, b, c] = Enum.map([first, second, third], &received/1)
    assert Enum.all?(a ++ b, &(rem(&1, 10) == 3))
    threes = Enum.filter(a ++ b ++ c, &(rem(&1, 10) == 3))
    assert Enum.sort(threes) == Enum.to_list(3..299//10)
    assert length(c) in 60..140
  end
end
