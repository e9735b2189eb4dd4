defmodule Penstock.LinearSubscription.WalkTest do
  # Random subscriptions, asks, cancels, deaths, filters, pauses, appends and connections that are cut, over a real server;
  # what comes is compared with what a naive count says has to, for the dispatchers of the core and for those that events
  # go to through the producer's process. `PENSTOCK_SEED=n` plays one walk again, `PENSTOCK_SEEDS=n` plays more of them.
  use ExUnit.Case, async: true

  import Penstock.Store

  alias Penstock.EventStore.Server
  alias Penstock.{Cut, LinearSubscription, Player, Stage, StageWire}

  @moduletag :capture_log
  @steps 60

  setup do
    %{server: server} = context = start()
    Map.put(context, :road, start_supervised!({Cut, Server.port(server)}))
  end

  defp seeds do
    case {System.get_env("PENSTOCK_SEED"), System.get_env("PENSTOCK_SEEDS")} do
      {nil, nil} -> for _ <- 1..6, do: :rand.uniform(1_000_000_000)
      {nil, count} -> for _ <- 1..String.to_integer(count), do: :rand.uniform(1_000_000_000)
      {seed, _} -> [String.to_integer(seed)]
    end
  end

  @kinds [
    demand: Penstock.DemandDispatcher,
    broadcast: Penstock.BroadcastDispatcher,
    partition: {Penstock.PartitionDispatcher, partitions: 3, hash: :type, consumers_per_partition: :infinity},
    hash:
      {Penstock.PartitionDispatcher,
       partitions: [:a, :b, :c], hash: &__MODULE__.by_type/1, consumers_per_partition: :infinity},
    rate: {Penstock.DemandDispatcher, rate: {25, 5}},
    custom: Penstock.FirstComeDispatcher
  ]

  def by_type(event), do: {event, elem({:a, :b, :c}, :erlang.phash2(event.type, 3))}

  for {kind, dispatcher} <- @kinds do
    @tag timeout: 300_000
    test "by #{kind}, every event comes as often as it has to, in order and within demand", context do
      for seed <- seeds() do
        try do
          walk(unquote(kind), unquote(Macro.escape(dispatcher)), seed, context)
        rescue
          error -> reraise "PENSTOCK_SEED=#{seed}: #{Exception.message(error)}", __STACKTRACE__
        end
      end
    end
  end

  # `players` are all there ever were: how many events each asked for, what it wants, and what it got. What a dead one has
  # been sent may be lost with it: as many events as it still waited for when it was last looked at.
  defp walk(kind, dispatcher, seed, %{store: store, road: road}) do
    :rand.seed(:exsss, seed)
    stream = "walk-#{kind}-#{seed}-#{System.unique_integer([:positive])}"

    options = [
      dispatcher: dispatcher,
      buffer_size: Enum.random([5, 50, 1000]),
      read_opts: [max_count: Enum.random([1, 7, 200])]
    ]

    producer = subscribe(Cut.uri(road), stream, options)
    world = %{kind: kind, store: store, stream: stream, producer: producer, types: [], players: []}
    world = Map.merge(world, %{road: road, lost: 0})
    world = Enum.reduce(1..@steps, world, fn _, world -> step(:rand.uniform(22), world) end)
    world |> finish() |> judge()
    GenServer.stop(producer)
  end

  defp step(n, world) when n <= 6 do
    types = for _ <- 1..Enum.random(1..60), do: Enum.random(~w(A B C D E))
    append_types(world.store, world.stream, types)
    %{world | types: world.types ++ types}
  end

  defp step(n, world) when n <= 9, do: join(world, options(world.kind))
  defp step(n, world) when n <= 15, do: with_player(world, &ask(&1, Enum.random(1..80)))
  defp step(16, world), do: with_player(world, &leave/1)

  defp step(17, world) do
    :ok = Stage.pause(world.producer)
    world
  end

  defp step(18, world) do
    :ok = Stage.resume(world.producer)
    world
  end

  defp step(19, world) do
    assert %{demand: demand, consumers: consumers} = Stage.info(world.producer)
    assert Enum.sort(for one <- consumers, do: one.tag) == Enum.sort(for p <- here(world), do: p.player.tag)
    asked = Enum.sum(for player <- world.players, do: player.asked)
    assert demand <= asked

    # nothing is taken that nobody has asked for; a filter has more taken for the same demand
    if Enum.all?(world.players, &(&1.options[:filter] == nil)) and world.kind != :broadcast do
      assert asked >= (LinearSubscription.info(world.producer).revision || -1) + 1
    end

    world
  end

  defp step(20, world) do
    :ok = Stage.demand(world.producer, Enum.random([:forward, :accumulate]))
    world
  end

  defp step(21, world) do
    :ok = Cut.cut(world.road)
    world
  end

  defp step(22, world) do
    case here(world) do
      [] -> world
      here -> kill(Enum.random(here), world)
    end
  end

  defp kill(%{player: %{pid: pid} = player} = one, world) do
    got = Player.received(player)
    Process.exit(pid, :kill)
    await_end(world.producer, player.tag)
    got = one.got ++ got ++ Player.taken(player)
    lost = world.lost + one.asked - length(got)
    dead = %{one | here?: false, dead?: true, got: got}
    %{world | lost: lost, players: [dead | List.delete(world.players, one)]}
  end

  defp await_end(producer, tag) do
    if Enum.any?(Stage.info(producer).consumers, &(&1.tag == tag)), do: await_end(producer, tag)
  end

  defp here(world), do: Enum.filter(world.players, & &1.here?)

  defp options(:partition), do: [partition: Enum.random(0..2)] ++ filter()
  defp options(:hash), do: [partition: Enum.random([:a, :b, :c])] ++ filter()
  defp options(:custom), do: []
  defp options(:broadcast), do: filter() ++ Enum.random([[], [], [lag: {:drop_oldest, 10}]])
  defp options(kind) when kind in [:demand, :rate], do: filter()

  defp filter do
    Enum.random([
      [],
      [],
      [filter: {:match, %{type: "A"}}],
      [filter: &Penstock.LinearSubscription.WalkTest.wanted?/1]
    ])
  end

  def wanted?(event), do: event.type in ["A", "B"]

  # What is kept for one that lags is not for a function to choose from.
  defp join(world, options) do
    options =
      if options[:lag] && is_function(options[:filter]), do: Keyword.delete(options, :lag), else: options

    player = Player.player(world.producer, options)
    # it takes part from here on
    Player.settle(player)
    new = %{player: player, options: options, asked: 0, here?: true, dead?: false, got: []}
    %{world | players: [new | world.players]}
  end

  defp with_player(world, change) do
    case here(world) do
      [] ->
        world

      here ->
        chosen = Enum.random(here)

        %{
          world
          | players: for(player <- world.players, do: if(player == chosen, do: change.(player), else: player))
        }
    end
  end

  defp ask(one, n) do
    Player.ask(one.player, n)
    %{one | asked: one.asked + n}
  end

  defp leave(one) do
    Player.cancel(one.player, :left)
    %{one | here?: false}
  end

  # In the end there is demand for all, from all who are here and one without a filter in every place.
  defp finish(world) do
    :ok = Stage.resume(world.producer)
    :ok = Stage.demand(world.producer, :forward)
    world = Enum.reduce(everywhere(world.kind), world, &join(&2, &1))
    players = for player <- world.players, do: if(player.here?, do: ask(player, 100_000), else: player)
    await(world, length(world.types))
    %{world | players: Enum.map(players, &all_received/1)}
  end

  defp everywhere(:partition), do: for(n <- 0..2, do: [partition: n])
  defp everywhere(:hash), do: for(name <- [:a, :b, :c], do: [partition: name])
  defp everywhere(_kind), do: [[]]

  defp all_received(%{dead?: true} = player), do: player
  defp all_received(player), do: %{player | got: Player.received(player.player)}

  defp await(_world, 0), do: :ok

  defp await(%{producer: producer} = world, count) do
    StageWire.settle(producer)

    unless match?(
             %{state: :subscribed, ready_events: 0, revision: revision} when revision != nil,
             LinearSubscription.info(producer)
           ) and
             match?(%{buffered: 0, held: 0}, Stage.info(producer)) and
             LinearSubscription.info(producer).revision >= count - 1,
           do: await(world, count)
  end

  defp judge(world) do
    all = Enum.with_index(world.types)
    types = Map.new(all, fn {type, revision} -> {revision, type} end)

    for %{got: got} = player <- world.players do
      assert got == Enum.sort(got) and got == Enum.uniq(got), "out of order, or twice: #{inspect(got)}"
      assert length(got) <= player.asked
      assert Enum.all?(got, &wants?(player, types[&1]))
    end

    judge(world.kind, world, all, types)
  end

  # One that does not want an event that it is given is the only reason for which nobody has it, but for the death of one that
  # was sent it.
  defp judge(kind, world, all, types) when kind != :broadcast do
    got = Enum.flat_map(world.players, & &1.got)
    assert got == Enum.uniq(got), "twice"
    picky = Enum.reject(world.players, &(&1.options[:filter] == nil))

    missing =
      for {type, revision} <- all, revision not in got, Enum.all?(picky, &wants?(&1, type)), do: revision

    assert length(missing) <= world.lost, "lost: #{inspect(missing)}"

    if kind in [:partition, :hash] do
      places =
        for player <- world.players,
            revision <- player.got,
            uniq: true,
            do: {types[revision], player.options[:partition]}

      assert length(places) == length(Enum.uniq_by(places, &elem(&1, 0))), "a type in two partitions"
    end
  end

  # From where it came to where it left without a gap, but for what it did not want or chose to lose.
  defp judge(:broadcast, world, all, _types) do
    for %{got: [first | _] = got, dead?: false} = player <- world.players, player.options[:lag] == nil do
      last = if player.here?, do: length(all) - 1, else: List.last(got)
      wanted = for {type, revision} <- all, revision in first..last, wants?(player, type), do: revision
      assert got == wanted
    end
  end

  defp wants?(%{options: options}, type) do
    case options[:filter] do
      nil -> true
      {:match, %{type: wanted}} -> type == wanted
      function -> function.(%{type: type})
    end
  end
end
