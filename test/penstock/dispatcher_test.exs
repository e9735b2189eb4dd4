defmodule Penstock.DispatcherTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  # Tells the test what it is called with; gives everything to whoever came first and has asked.
  defmodule FirstCome do
    @behaviour Penstock.Dispatcher

    @impl true
    def init(options), do: {:ok, {options[:test], []}}

    @impl true
    def subscribe(options, from, {test, members} = state) do
      send(test, {:subscribe, options, from})

      if options[:refuse],
        do: {:error, options[:refuse]},
        else: {:ok, 0, put_elem(state, 1, members ++ [{from, 0}])}
    end

    @impl true
    def cancel(from, {test, members}) do
      send(test, {:cancel, from})
      {:ok, 0, {test, List.keydelete(members, from, 0)}}
    end

    @impl true
    def ask(n, from, {test, members}) do
      send(test, {:ask, n, from})
      {^from, demand} = List.keyfind(members, from, 0)
      {:ok, n, {test, List.keyreplace(members, from, 0, {from, demand + n})}}
    end

    @impl true
    def dispatch(events, length, {test, [{{pid, tag} = from, demand} | rest]}) when demand > 0 do
      send(test, {:dispatch, events, length})
      {now, left} = Enum.split(events, demand)
      Process.send(pid, {:"$gen_consumer", {self(), tag}, now}, [:noconnect])
      {:ok, left, {test, [{from, demand - length(now)} | rest]}}
    end

    def dispatch(events, length, {test, _members} = state) do
      send(test, {:dispatch, events, length})
      {:ok, events, state}
    end

    @impl true
    def info(message, {test, _members} = state) do
      send(test, {:info, message})
      send(self(), message)
      {:ok, state}
    end
  end

  defp start(type, options, script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(type, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp producer(options \\ []), do: start(:producer, [dispatcher: {FirstCome, test: self()}] ++ options)
  defp emit(producer, events), do: :ok = Stage.call(producer, {:emit, Enum.to_list(events)})

  describe "a dispatcher of somebody else" do
    test "is called with what GenStage calls it with, and its word on demand is taken" do
      producer = producer()
      test = self()
      tag = subscribe(producer, make_ref(), nil, colour: :red)
      assert_receive {:subscribe, [colour: :red], {^test, ^tag}}
      ask(producer, tag, 3)
      assert_receive {:ask, 3, {^test, ^tag}}
      assert_receive {:handle_demand, ^producer, 3}
      emit(producer, [1, 2])
      assert_receive {:dispatch, [1, 2], 2}
      assert batches(producer, tag) == [[1, 2]]
      cancel(producer, tag, :bye)
      assert_receive {:cancel, {^test, ^tag}}
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :bye}}
    end

    test "has what it leaves over buffered, and gets that first when it calls for more" do
      producer = producer()
      emit(producer, [1, 2, 3])
      assert Stage.estimate_buffered_count(producer) == 3
      :ok = Stage.sync_info(producer, :behind)
      refute_received {:info, :behind}
      tag = ask(producer, subscribe(producer), 2)
      assert batches(producer, tag) == [[1, 2]]
      refute_received {:handle_demand, _, _}
      ask(producer, tag, 5)
      assert batches(producer, tag) == [[3]]
      assert_receive {:handle_demand, ^producer, 4}
      assert_received {:info, :behind}
      assert_receive {:handle_info, ^producer, :behind}
    end

    test "may take from a buffer too deep for the heap" do
      producer = producer(buffer_size: :infinity)
      events = Enum.map(1..25_000, &{&1, "event"})
      emit(producer, events)
      tag = ask(producer, subscribe(producer), 25_000)
      assert producer |> batches(tag) |> Enum.concat() == events
    end

    test "may refuse a subscription" do
      producer = producer()
      tag = subscribe(producer, make_ref(), nil, refuse: :not_today)
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, :not_today}}
      assert_receive {:handle_cancel, ^producer, {:cancel, :not_today}, _}
    end

    test "is told of a consumer's death" do
      producer = producer()
      consumer = start(:consumer, subscribe_to: [{producer, max_demand: 5}])
      assert_receive {:handle_demand, ^producer, 5}
      Process.exit(consumer, :kill)
      assert_receive {:cancel, {^consumer, _tag}}
    end

    test "serves a producer_consumer as well" do
      source = start(:producer, [])
      double = fn events, _from, script -> {:noreply, Enum.map(events, &(&1 * 2)), script} end

      middle =
        start(
          :producer_consumer,
          [dispatcher: {FirstCome, test: self()}, subscribe_to: [{source, max_demand: 10}]],
          %{handle_events: double}
        )

      assert_receive {:handle_demand, ^source, 10}
      emit(source, [1, 2, 3, 4])
      tag = ask(middle, subscribe(middle), 3)
      settle(source)
      assert middle |> batches(tag) |> Enum.concat() == [2, 4, 6]
      ask(middle, tag, 3)
      assert middle |> batches(tag) |> Enum.concat() == [8]
    end

    test "is named in the status" do
      assert inspect(:sys.get_status(producer()), limit: :infinity) =~ "FirstCome"
    end
  end

  # Stock's own, by another name: by their own they mean those here.
  for name <- [:DemandDispatcher, :BroadcastDispatcher, :PartitionDispatcher] do
    stock = Module.concat(GenStage, name)

    defmodule Module.concat(__MODULE__, name) do
      for {function, arity} <- [init: 1, subscribe: 3, cancel: 2, ask: 3, dispatch: 3, info: 2] do
        arguments = Macro.generate_arguments(arity, __MODULE__)

        def unquote(function)(unquote_splicing(arguments)),
          do: apply(unquote(stock), unquote(function), [unquote_splicing(arguments)])
      end
    end
  end

  @tag :gen_stage
  test "the dispatchers of the gen_stage library run in our producers" do
    count = fn n, script ->
      next = Map.get(script, :next, 1)
      {:noreply, Enum.to_list(next..(next + n - 1)), Map.put(script, :next, next + n)}
    end

    for {dispatcher, expected} <- [
          {__MODULE__.DemandDispatcher, Enum.to_list(1..50)},
          {__MODULE__.BroadcastDispatcher, Enum.to_list(1..50)},
          {{__MODULE__.PartitionDispatcher, partitions: 2, hash: &{&1, rem(&1, 2)}}, Enum.to_list(2..100//2)}
        ] do
      producer = start(:producer, [dispatcher: dispatcher], %{handle_demand: count})
      tag = subscribe(producer, make_ref(), nil, partition: 0)
      ask(producer, tag, 50)

      got =
        Stream.repeatedly(fn -> producer |> ask_more(tag) |> Enum.concat() end)
        |> Enum.take(3)
        |> Enum.concat()

      assert Enum.take(got, length(expected)) == Enum.take(expected, length(got))
      assert length(got) >= 50
    end
  end

  defp ask_more(producer, tag) do
    batches = batches(producer, tag)
    ask(producer, tag, 50)
    batches
  end

  describe "the filter of a subscription" do
    defp filtered(dispatcher, filter, options \\ []) do
      producer = start(:producer, dispatcher: dispatcher)
      {producer, subscribe(producer, make_ref(), nil, [filter: filter] ++ options)}
    end

    @dispatchers [
      Penstock.DemandDispatcher,
      Penstock.BroadcastDispatcher,
      {Penstock.PartitionDispatcher, partitions: 1}
    ]

    test "lets through what it wants, and the rest costs no demand, with every dispatcher" do
      for dispatcher <- @dispatchers do
        {producer, tag} = filtered(dispatcher, &(rem(&1, 2) == 0), partition: 0)
        ask(producer, tag, 4)
        assert_receive {:handle_demand, ^producer, 4}
        emit(producer, 1..4)
        assert batches(producer, tag) == [[2, 4]]
        assert_receive {:handle_demand, ^producer, 2}
        emit(producer, 5..8)
        assert producer |> batches(tag) |> Enum.concat() == [6, 8]
      end
    end

    test "matches maps by their keys, however deep" do
      events = [
        %{type: "paid", by: %{country: "DK", id: 1}, n: 1},
        %{type: "paid", by: %{country: "SE"}, n: 1.0},
        %{type: "sent", by: nil},
        {:type, "paid"},
        %{}
      ]

      for {pattern, wanted} <- [
            {%{type: "paid"}, [0, 1]},
            {%{type: "paid", by: %{country: "DK"}}, [0]},
            {%{n: 1}, [0]},
            {%{by: nil}, [2]},
            {%{by: %{}}, [0, 1]},
            {%{}, [0, 1, 2, 4]}
          ] do
        {producer, tag} = filtered(Penstock.DemandDispatcher, {:match, pattern})
        ask(producer, tag, 5)
        emit(producer, events)
        assert producer |> batches(tag) |> Enum.concat() == Enum.map(wanted, &Enum.at(events, &1))
      end
    end

    test "applies to what was buffered and queued as well" do
      producer = start(:producer, dispatcher: {Penstock.PartitionDispatcher, partitions: 1})
      emit(producer, 1..6)
      tag = subscribe(producer, make_ref(), nil, partition: 0, filter: &(&1 > 4))
      ask(producer, tag, 2)
      assert producer |> batches(tag) |> Enum.concat() == [5, 6]
      refute_received {:handle_demand, _, _}
    end

    test "that fails ends its subscription and nothing else" do
      for dispatcher <- @dispatchers do
        {producer, tag} = filtered(dispatcher, fn _ -> raise "no" end, partition: 0)
        ask(producer, tag, 1)
        emit(producer, [1])
        ask(producer, tag, 1)
        reason = {:filter_failed, %RuntimeError{message: "no"}}
        assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, ^reason}}
        next = ask(producer, subscribe(producer, make_ref(), nil, partition: 0), 2)
        emit(producer, [2])
        assert batches(producer, next) == [[2]]
      end
    end

    test "is refused when it is none" do
      {producer, tag} = filtered(Penstock.DemandDispatcher, {:match, [:a]})
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, message}}}

      assert message ==
               "expected :filter to be a function of one argument or {:match, map}, got: {:match, [:a]}"
    end
  end

  test "a pattern that is too deep is refused, also from another node, and the producer lives" do
    for depth <- [128, 1500, 50_000],
        dispatcher <- [Penstock.DemandDispatcher, Penstock.BroadcastDispatcher] do
      {:ok, producer} = Penstock.ScriptedStage.start(:producer, dispatcher: dispatcher)
      pattern = Enum.reduce(1..depth, %{a: 1}, fn _, map -> %{a: map} end)
      tag = subscribe(producer, make_ref(), nil, filter: {:match, pattern})
      ask(producer, tag, 1000)
      assert_receive {:"$gen_consumer", {^producer, ^tag}, {:cancel, {:bad_opts, message}}}
      assert message =~ "expected :filter to be a pattern of at most 127 maps in each other"
      assert Stage.call(producer, {:emit, List.duplicate(%{a: %{a: 1}}, 100)}) == :ok
    end
  end

  defmodule Generous do
    @behaviour Penstock.Dispatcher
    def init(demand: demand), do: {:ok, demand}
    def subscribe(_options, _from, demand), do: {:ok, 0, demand}
    def cancel(_from, demand), do: {:ok, 0, demand}
    def ask(_n, _from, demand), do: {:ok, demand, demand}
    def dispatch(_events, _length, demand), do: {:ok, [], demand}
    def info(_message, demand), do: {:ok, demand}
  end

  test "a dispatcher of one's own may call for as much as it likes" do
    {:ok, producer} = Penstock.ScriptedStage.start(:producer, dispatcher: {Generous, demand: 2 ** 70})
    tag = subscribe(producer)
    for _ <- 1..6, do: ask(producer, tag, 2 ** 62 - 1)
    Stage.call(producer, {:emit, [1, 2]})
    ask(producer, tag, 2 ** 80)
    assert Stage.call(producer, :anything) == :ok
  end

  test "a dispatcher of one's own that answers nonsense ends its producer with what it said" do
    for demand <- [-1, 1.5, :many, nil] do
      {:ok, producer} = Penstock.ScriptedStage.start(:producer, dispatcher: {Generous, demand: demand})
      monitor = Process.monitor(producer)
      ask(producer, subscribe(producer), 1)
      assert_receive {:DOWN, ^monitor, _, _, {%ArgumentError{message: message}, _stack}}
      assert message =~ "expected ask/3 of Penstock.DispatcherTest.Generous to return {:ok, demand, state}"
      assert message =~ inspect(demand)
    end
  end

  # Reductions are counted the same on every machine; the native core has tests of its own.
  test "what a subscription costs does not grow with how many there are" do
    for {dispatcher, options} <- [
          {Penstock.DemandDispatcher, fn _n -> [] end},
          {Penstock.BroadcastDispatcher, fn _n -> [] end},
          {{Penstock.PartitionDispatcher, partitions: 8000}, fn n -> [partition: n] end}
        ] do
      {:ok, producer} = Penstock.ScriptedStage.start(:producer, dispatcher: dispatcher)
      few = cost(producer, 0..499, options)
      _more = cost(producer, 500..7499, options)
      many = cost(producer, 7500..7999, options)
      assert many < 3 * few
    end
  end

  # Of subscribing, asking and, once all are there, leaving, each from a process of its own.
  defp cost(producer, numbers, options) do
    settle(producer)
    {:reductions, before} = Process.info(producer, :reductions)

    for n <- numbers do
      pid = spawn(fn -> receive do: (:never -> :ok) end)
      send(producer, {:"$gen_producer", {pid, n}, {:subscribe, nil, options.(n)}})
      send(producer, {:"$gen_producer", {pid, n}, {:ask, 10}})
      if rem(n, 2) == 0, do: send(producer, {:"$gen_producer", {pid, n}, {:cancel, :over}})
    end

    settle(producer)
    {:reductions, afterwards} = Process.info(producer, :reductions)
    afterwards - before
  end
end
