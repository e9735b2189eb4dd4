defmodule Penstock.LinearSubscription.BroadcastTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.Store

  import Penstock.Player,
    only: [player: 1, player: 2, received: 1, received: 2, ask: 2, cancel: 2, cancelled: 1]

  alias Penstock.{Stage, StageWire}

  @moduletag :capture_log

  setup do
    context = start()
    Map.put(context, :producer, subscribe(context.store, "s", dispatcher: Penstock.BroadcastDispatcher))
  end

  test "every consumer gets every event, each once and in order", %{store: store, producer: producer} do
    players = for _ <- 1..3, do: player(producer)
    for player <- players, do: ask(player, 3000)
    fill(store, "s", 2500)
    for player <- players, do: assert(received(player, 2500) == Enum.to_list(0..2499))
    # what there was no event for is still asked for
    fill(store, "s", 10)
    for player <- players, do: assert(received(player, 10) == Enum.to_list(2500..2509))
  end

  test "the one that waits for fewest sets the pace, and nobody gets more than it asked for", context do
    fill(context.store, "s", 100)
    [slow, fast] = for _ <- 1..2, do: player(context.producer)
    ask(fast, 50)
    ask(slow, 7)
    assert received(slow, 7) == Enum.to_list(0..6)
    assert received(fast, 7) == Enum.to_list(0..6)
    StageWire.settle(context.producer)
    assert received(fast) == []
    assert %{demand: 0, consumers: [%{demand: a}, %{demand: b}]} = Stage.info(context.producer)
    assert Enum.sort([a, b]) == [0, 43]
  end

  test "one that cancels, or is killed, holds the others up no longer", %{store: store, producer: producer} do
    fill(store, "s", 100)
    [stays, cancels, dies] = for _ <- 1..3, do: player(producer)
    ask(stays, 40)
    StageWire.settle(producer)
    assert received(stays) == []
    cancel(cancels, :enough)
    assert cancelled(cancels) == :enough
    StageWire.settle(producer)
    assert received(stays) == []
    Process.exit(dies.pid, :kill)
    assert received(stays, 40) == Enum.to_list(0..39)
  end

  test "a consumer gets what is dispatched after it has subscribed", %{store: store, producer: producer} do
    fill(store, "s", 30)
    first = player(producer)
    ask(first, 10)
    assert received(first, 10) == Enum.to_list(0..9)
    second = player(producer)
    ask(second, 5)
    ask(first, 5)
    assert received(second, 5) == Enum.to_list(10..14)
    assert received(first, 5) == Enum.to_list(10..14)
  end

  test "a process subscribes once", %{producer: producer} do
    first = StageWire.subscribe(producer)
    second = StageWire.subscribe(producer)
    assert_receive {:"$gen_consumer", {^producer, ^second}, {:cancel, :already_subscribed}}
    StageWire.cancel(producer, first, :done)
    assert_receive {:"$gen_consumer", {^producer, ^first}, {:cancel, :done}}
    third = StageWire.subscribe(producer)
    StageWire.settle(producer)
    refute_received {:"$gen_consumer", {^producer, ^third}, {:cancel, _}}
  end

  describe "a filter" do
    test "that is a pattern leaves out what it does not match, at no cost of demand", context do
      fill(context.store, "s", 300)
      all = player(context.producer)
      some = player(context.producer, filter: {:match, %{body: %{"n" => 7}}})
      ask(some, 2)
      ask(all, 300)
      assert received(all, 300) == Enum.to_list(0..299)
      assert received(some, 1) == [6]
    end

    test "or a selector that is a function runs in the producer", context do
      fill(context.store, "s", 300)
      all = player(context.producer)
      even = player(context.producer, selector: &(rem(&1.body["n"], 2) == 0))
      ask(even, 100)
      ask(all, 300)
      assert received(even, 100) == Enum.take_every(1..199, 2)
      ask(even, 100)
      assert received(even, 50) == Enum.take_every(201..299, 2)
      assert received(all, 300) == Enum.to_list(0..299)
    end

    test "that fails ends that subscription alone", %{store: store, producer: producer} do
      fill(store, "s", 20)
      all = player(producer)
      fails = player(producer, filter: &(&1.body["n"] < 10 or raise("no")))
      ask(fails, 20)
      ask(all, 20)
      assert {:filter_failed, %RuntimeError{message: "no"}} = cancelled(fails)
      assert received(all, 20) == Enum.to_list(0..19)
    end
  end

  describe "a consumer that holds nobody up" do
    test "is given the newest of what it missed, and told of the rest", %{store: store, producer: producer} do
      fast = player(producer)
      slow = player(producer, lag: {:drop_oldest, 5})
      ask(slow, 2)
      ask(fast, 100)

      log =
        capture_log(fn ->
          fill(store, "s", 100)
          assert received(fast, 100) == Enum.to_list(0..99)
          StageWire.settle(producer)
        end)

      assert received(slow, 2) == [0, 1]
      assert log =~ ~r/has dropped \d+ events that #PID<[\d.]+> lagged behind/
      dropped = for [n] <- Regex.scan(~r/has dropped (\d+)/, log, capture: :all_but_first), do: n
      assert Enum.sum(for n <- dropped, do: String.to_integer(n)) == 93
      ask(slow, 3)
      assert received(slow, 3) == [95, 96, 97]
      ask(slow, 4)
      assert received(slow, 2) == [98, 99]
      ask(fast, 2)
      fill(store, "s", 2)
      assert received(slow, 2) == [100, 101]
    end

    test "counts what its pattern matches", %{store: store, producer: producer} do
      fast = player(producer)
      slow = player(producer, lag: {:drop_oldest, 2}, filter: {:match, %{type: "Odd"}})
      ask(fast, 100)
      append_types(store, "s", for(n <- 0..99, do: if(rem(n, 2) == 1, do: "Odd", else: "Even")))
      assert received(fast, 100) == Enum.to_list(0..99)
      ask(slow, 10)
      assert received(slow, 2) == [97, 99]
    end

    test "is cancelled when it lags, if it wants that", %{store: store, producer: producer} do
      fast = player(producer)
      slow = player(producer, lag: :cancel)
      ask(slow, 5)
      ask(fast, 10)
      fill(store, "s", 10)
      assert received(fast, 10) == Enum.to_list(0..9)
      assert cancelled(slow) == :lagging
      assert %{consumers: [_]} = Stage.info(producer)
    end

    test "has no function for a filter", %{producer: producer} do
      player = player(producer, lag: :cancel, filter: &Map.keys/1)
      assert {:bad_opts, message} = cancelled(player)
      assert message =~ "no function as :filter or :selector beside :lag"
      assert message =~ "got: lag: :cancel"
    end

    test "lags in one of some ways", %{producer: producer} do
      assert {:bad_opts, message} = cancelled(player(producer, lag: {:drop_oldest, 0}))
      assert message =~ "expected :lag to be one of :block, :cancel and {:drop_oldest, positive integer}"
    end
  end

  test "a pause holds everybody's events back", %{store: store, producer: producer} do
    players = for _ <- 1..2, do: player(producer)
    :ok = Stage.pause(producer)
    for player <- players, do: ask(player, 10)
    fill(store, "s", 10)
    await_info(producer, &(&1.ready_events == 10))
    for player <- players, do: assert(received(player) == [])
    assert [%{asked_while_paused: 10, demand: 0}, _] = Stage.info(producer).consumers
    :ok = Stage.resume(producer)
    for player <- players, do: assert(received(player, 10) == Enum.to_list(0..9))
  end
end
