defmodule Penstock.Stage.WireTest do
  # The messages between the functions of the library and a stage, and between two stages, to the letter: the
  # gen_stage library sends and expects the same.
  use ExUnit.Case, async: true

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  # What a function sends to a stage that the test plays; `answer` is what the stage replies to a call.
  defp sent(function, answer \\ :ok) do
    test = self()
    task = Task.async(fn -> function.(test) end)

    receive do
      {:"$gen_call", from, request} ->
        GenServer.reply(from, answer)
        assert Task.await(task) == answer
        {:call, request}

      {:"$gen_cast", request} ->
        assert Task.await(task) == :ok
        {:cast, request}

      {:"$gen_producer", {pid, tag}, content} ->
        assert pid == task.pid
        assert Task.await(task) == :ok
        {tag, content}
    end
  end

  test "what each function sends" do
    producer = [to: :p, max_demand: 5]
    options = [max_demand: 5]

    for {function, message} <- [
          {&Stage.sync_subscribe(&1, producer), {:call, {:"$subscribe", nil, :p, options}}},
          {&Stage.async_subscribe(&1, producer), {:cast, {:"$subscribe", nil, :p, options}}},
          {&Stage.sync_resubscribe(&1, :tag, :why, producer),
           {:call, {:"$subscribe", {:tag, :why}, :p, options}}},
          {&Stage.async_resubscribe(&1, :tag, :why, producer),
           {:cast, {:"$subscribe", {:tag, :why}, :p, options}}},
          {&Stage.sync_info(&1, :hello), {:call, {:"$info", :hello}}},
          {&Stage.async_info(&1, :hello), {:cast, {:"$info", :hello}}},
          {&Stage.demand(&1), {:call, :"$demand"}},
          {&Stage.demand(&1, :forward), {:cast, {:"$demand", :forward}}},
          {&Stage.demand(&1, :accumulate), {:cast, {:"$demand", :accumulate}}},
          {&Stage.estimate_buffered_count(&1), {:call, :"$estimate_buffered_count"}},
          {&Stage.call(&1, :anything), {:call, :anything}},
          {&Stage.cast(&1, :anything), {:cast, :anything}},
          {&Stage.ask({&1, :tag}, 3), {:tag, {:ask, 3}}},
          {&Stage.ask({&1, :tag}, 3, [:noconnect]), {:tag, {:ask, 3}}},
          {&Stage.cancel({&1, :tag}, :why), {:tag, {:cancel, :why}}}
        ] do
      assert sent(function) == message
    end
  end

  test "what a stage answers to calls" do
    {:ok, producer} = ScriptedStage.start(:producer)
    {:ok, consumer} = ScriptedStage.start(:consumer)
    assert GenServer.call(producer, :"$demand") == :forward
    assert GenServer.call(producer, :"$estimate_buffered_count") == 0
    assert GenServer.call(producer, {:"$info", :hello}) == :ok
    assert_receive {:handle_info, ^producer, :hello}
    assert GenServer.call(producer, {:"$subscribe", nil, consumer, []}) == {:error, :not_a_consumer}
    assert {:ok, tag} = GenServer.call(consumer, {:"$subscribe", nil, producer, max_demand: 2})
    assert_receive {:handle_subscribe, ^producer, :consumer, [max_demand: 2], {^consumer, ^tag}}
    assert_receive {:handle_demand, ^producer, 2}

    assert {:error, {:bad_opts, _message}} =
             GenServer.call(consumer, {:"$subscribe", nil, producer, max_demand: 0})
  end

  test "what a stage does at casts" do
    {:ok, producer} = ScriptedStage.start(:producer)
    {:ok, consumer} = ScriptedStage.start(:consumer)
    GenServer.cast(producer, {:"$info", :hello})
    assert_receive {:handle_info, ^producer, :hello}
    GenServer.cast(producer, {:"$demand", :accumulate})
    assert GenServer.call(producer, :"$demand") == :accumulate
    GenServer.cast(consumer, {:"$subscribe", nil, producer, []})
    assert_receive {:handle_subscribe, ^producer, :consumer, [], {^consumer, _tag}}
  end

  test "a consumer watches its producer before it subscribes" do
    {:ok, consumer} = ScriptedStage.start(:consumer)
    {:ok, tag} = Stage.sync_subscribe(consumer, to: self())
    assert_receive {:"$gen_producer", {^consumer, ^tag}, {:subscribe, nil, []}}
    # The tag is the monitor: its message ends the subscription.
    send(consumer, {:DOWN, tag, :process, self(), :gone})
    assert_receive {:handle_cancel, ^consumer, {:down, :gone}, {_pid, ^tag}}
  end
end
