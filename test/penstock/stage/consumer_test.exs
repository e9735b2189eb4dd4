defmodule Penstock.Stage.ConsumerTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  # A consumer of the test process, which plays its producer.
  defp consumer(subscription \\ [], script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(:consumer, [subscribe_to: [{self(), subscription}]], script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    {tag, _options} = accept(pid, Keyword.get(subscription, :max_demand, 1000))
    {pid, tag}
  end

  # What a consumer was handed and what it asked for, in the order in which it happened.
  defp steps(consumer) do
    settle(consumer)
    take_steps(consumer)
  end

  defp take_steps(consumer) do
    receive do
      {:handle_events, ^consumer, events, _from} -> [events | take_steps(consumer)]
      {:"$gen_producer", {^consumer, _tag}, {:ask, n}} -> [{:ask, n} | take_steps(consumer)]
    after
      0 -> []
    end
  end

  test "a subscription is sent as a monitor, a subscribe with all its options, and an ask for max_demand" do
    options = [max_demand: 8, min_demand: 2, anything: :else]
    {:ok, consumer} = ScriptedStage.start(:consumer, subscribe_to: [{self(), options}])
    {tag, sent} = accept(consumer, 8)
    assert is_reference(tag)
    assert sent == options
    me = self()
    assert_receive {:handle_subscribe, ^consumer, :producer, ^options, {^me, ^tag}}
    assert {:monitors, [process: ^me]} = Process.info(consumer, :monitors)
  end

  test "max_demand is 1000 and min_demand half of it unless told otherwise" do
    {consumer, tag} = consumer()
    send_events(consumer, tag, Enum.to_list(1..499))
    assert [_events] = steps(consumer)
    send_events(consumer, tag, [500])
    assert steps(consumer) == [[500], {:ask, 500}]
  end

  test "a message is handled in batches of at most max_demand - min_demand, each asking again at min_demand" do
    {consumer, tag} = consumer(max_demand: 10, min_demand: 7)
    send_events(consumer, tag, Enum.to_list(1..8))
    assert steps(consumer) == [[1, 2, 3], {:ask, 3}, [4, 5, 6], {:ask, 3}, [7, 8]]
    send_events(consumer, tag, [9])
    assert steps(consumer) == [[9], {:ask, 3}]
  end

  test "with a min_demand of 0 it asks only when nothing is left to come" do
    {consumer, tag} = consumer(max_demand: 3, min_demand: 0)
    send_events(consumer, tag, [1, 2])
    assert steps(consumer) == [[1, 2]]
    send_events(consumer, tag, [3])
    assert steps(consumer) == [[3], {:ask, 3}]
  end

  test "max_demand 1 goes event by event" do
    {consumer, tag} = consumer(max_demand: 1)
    send_events(consumer, tag, [1])
    assert steps(consumer) == [[1], {:ask, 1}]
  end

  test "events beyond what was asked for are handled and logged" do
    {consumer, tag} = consumer(max_demand: 4)

    assert capture_log(fn ->
             send_events(consumer, tag, Enum.to_list(1..7))
             handled = consumer |> steps() |> Enum.filter(&is_list/1)
             assert Enum.concat(handled) == Enum.to_list(1..7)
           end) =~ "in excess"

    send_events(consumer, tag, [8, 9])
    assert steps(consumer) == [[8, 9], {:ask, 2}]
  end

  test "events under a tag that it did not subscribe are refused" do
    {consumer, _tag} = consumer()
    stray = make_ref()
    send_events(consumer, stray, [1])
    assert_receive {:"$gen_producer", {^consumer, ^stray}, {:cancel, :unknown_subscription}}
    refute_received {:handle_events, _, _, _}
  end

  test "a consumer that subscribed manually asks for itself" do
    manual = %{handle_subscribe: fn :producer, _, from, script -> {:manual, Map.put(script, :from, from)} end}
    ask = %{handle_call: fn n, _, script -> {:reply, Stage.ask(script.from, n), [], script} end}
    {:ok, consumer} = ScriptedStage.start(:consumer, [subscribe_to: [self()]], Map.merge(manual, ask))
    assert_receive {:"$gen_producer", {^consumer, tag}, {:subscribe, nil, []}}
    assert Stage.call(consumer, 0) == :ok
    assert Stage.call(consumer, 5) == :ok
    assert_receive {:"$gen_producer", {^consumer, ^tag}, {:ask, 5}}
    send_events(consumer, tag, Enum.to_list(1..5))
    assert steps(consumer) == [[1, 2, 3, 4, 5]]
  end

  test "a stop in the middle of a message drops the rest" do
    stop = %{handle_events: fn _, _, script -> {:stop, :normal, script} end}
    {consumer, tag} = consumer([max_demand: 4], stop)
    monitor = Process.monitor(consumer)
    send_events(consumer, tag, [1, 2, 3, 4])
    assert_receive {:DOWN, ^monitor, _, _, :normal}
    assert_received {:handle_events, _, [1, 2], _}
    refute_received {:handle_events, _, _, _}
    refute_received {:"$gen_producer", _, {:ask, _}}
  end

  test "a consumer may hibernate after events" do
    {consumer, tag} =
      consumer([], %{handle_events: fn _, _, script -> {:noreply, [], script, :hibernate} end})

    send_events(consumer, tag, [1])
    settle(consumer)
    send_events(consumer, tag, [2])
    assert steps(consumer) == [[1], [2]]
  end

  test "events that a consumer returns are logged and go nowhere" do
    {consumer, tag} = consumer([], %{handle_events: fn events, _, script -> {:noreply, events, script} end})

    assert capture_log(fn ->
             send_events(consumer, tag, [1])
             settle(consumer)
           end) =~ "cannot dispatch events"
  end

  test "cancel asks the producer in the consumer's name" do
    Stage.cancel({self(), :tag}, :why)
    me = self()
    assert_receive {:"$gen_producer", {^me, :tag}, {:cancel, :why}}
  end

  test "resubscribing names the subscription that it replaces" do
    {consumer, old} = consumer()
    {:ok, new} = Stage.sync_resubscribe(consumer, old, :renew, to: self(), max_demand: 2)
    assert_receive {:"$gen_producer", {^consumer, ^new}, {:subscribe, {^old, :renew}, [max_demand: 2]}}
    :ok = Stage.async_resubscribe(consumer, new, :again, to: self(), max_demand: 3)
    assert_receive {:"$gen_producer", {^consumer, _tag}, {:subscribe, {^new, :again}, [max_demand: 3]}}
  end

  test "producers are found by every kind of name" do
    name = :"#{__MODULE__}.named"
    {:ok, _} = Registry.start_link(keys: :unique, name: Penstock.Stage.ConsumerTest.Names)
    via = {:via, Registry, {Penstock.Stage.ConsumerTest.Names, :it}}
    options = [max_demand: 1, cancel: :temporary]

    for {name, to} <- [{name, name}, {name, {name, node()}}, {{:global, name}, {:global, name}}, {via, via}] do
      {:ok, producer} = ScriptedStage.start(:producer, [], %{}, name: name)
      {:ok, consumer} = ScriptedStage.start(:consumer, subscribe_to: [{to, options}])
      assert_receive {:handle_demand, ^producer, 1}
      :ok = Stage.call(to, {:emit, [:hello]})
      assert_receive {:handle_events, ^consumer, [:hello], {^producer, _tag}}
      :ok = Stage.stop(to)
    end
  end

  describe "what the end of a producer means" do
    defp ended?(consumer, reason) do
      receive do
        {:DOWN, _monitor, _, ^consumer, ^reason} -> true
        {:handle_info, ^consumer, :still_here} -> false
      end
    end

    # Whether a consumer with this `cancel` ends when its producer cancels for `reason`.
    defp ends?(cancel, reason, script \\ %{}) do
      {consumer, tag} = consumer([cancel: cancel], script)
      Process.monitor(consumer)
      send_cancel(consumer, tag, reason)
      send(consumer, :still_here)
      me = self()
      assert_receive {:handle_cancel, ^consumer, {:cancel, ^reason}, {^me, ^tag}}
      ended?(consumer, reason)
    end

    test "a permanent consumer ends, whatever the reason" do
      for reason <- [:normal, :shutdown, {:shutdown, :why}, :crash], do: assert(ends?(:permanent, reason))
    end

    test "a transient consumer ends unless the producer was shut down" do
      for reason <- [:normal, :shutdown, {:shutdown, :why}], do: refute(ends?(:transient, reason))
      assert ends?(:transient, :crash)
    end

    test "a temporary consumer lives on" do
      for reason <- [:normal, :crash], do: refute(ends?(:temporary, reason))
    end

    test "a consumer that was refused because it is subscribed already lives on" do
      refute ends?(:permanent, :already_subscribed)
    end

    test "a permanent consumer that hibernates in handle_cancel ends all the same" do
      assert ends?(:permanent, :crash, %{
               handle_cancel: fn _, _, script -> {:noreply, [], script, :hibernate} end
             })
    end

    test "the death of the producer counts as its reason" do
      for {cancel, ends} <- [permanent: true, transient: true, temporary: false] do
        {:ok, producer} = ScriptedStage.start(:producer)
        {:ok, consumer} = ScriptedStage.start(:consumer, subscribe_to: [{producer, cancel: cancel}])
        assert_receive {:handle_subscribe, ^producer, :consumer, _, _}
        Process.monitor(consumer)
        Process.exit(producer, :boom)
        assert_receive {:handle_cancel, ^consumer, {:down, :boom}, {^producer, _tag}}
        send(consumer, :still_here)
        assert ended?(consumer, :boom) == ends
      end
    end
  end

  describe "a producer that is not alive" do
    setup do
      {:ok, dead} = ScriptedStage.start(:producer)
      :ok = Stage.stop(dead)
      %{dead: dead}
    end

    test "ends a permanent or transient subscriber", %{dead: dead} do
      for cancel <- [:permanent, :transient], to <- [dead, :"#{__MODULE__}.nobody"] do
        {:ok, consumer} = ScriptedStage.start(:consumer)
        monitor = Process.monitor(consumer)
        :ok = Stage.async_subscribe(consumer, to: to, cancel: cancel)
        assert_receive {:DOWN, ^monitor, _, _, :noproc}
      end
    end

    test "is no trouble for a temporary one", %{dead: dead} do
      {:ok, consumer} = ScriptedStage.start(:consumer)
      assert {:ok, tag} = Stage.sync_subscribe(consumer, to: :"#{__MODULE__}.nobody", cancel: :temporary)
      assert is_reference(tag)
      assert {:ok, tag} = Stage.sync_subscribe(consumer, to: dead, cancel: :temporary)
      assert_receive {:handle_cancel, ^consumer, {:down, :noproc}, {^dead, ^tag}}
      assert Stage.call(consumer, :alive?) == :ok
    end

    test "fails the start of a stage that subscribes to it" do
      assert ScriptedStage.start(:consumer, subscribe_to: [:"#{__MODULE__}.nobody"]) == {:error, :noproc}
    end
  end
end
