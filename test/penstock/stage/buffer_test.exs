defmodule Penstock.Stage.BufferTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}

  @moduletag :capture_log

  defp producer(options, script \\ %{}) do
    {:ok, pid} = ScriptedStage.start(:producer, options, script)
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp emit(producer, events), do: :ok = Stage.call(producer, {:emit, Enum.to_list(events)})

  # Takes everything that is buffered, through a subscription that asks for `n` at a time.
  defp drain(producer, n) do
    tag = subscribe(producer)

    Stream.repeatedly(fn -> producer |> batches(ask(producer, tag, n)) |> Enum.concat() end)
    |> Enum.take_while(&(&1 != []))
    |> Enum.concat()
  end

  test "events that nobody waits for are kept and come first" do
    producer = producer(buffer_size: 10)
    emit(producer, 1..3)
    emit(producer, 4..5)
    assert Stage.estimate_buffered_count(producer) == 5
    tag = ask(producer, subscribe(producer), 4)
    assert batches(producer, tag) == [[1, 2, 3, 4]]
    refute_received {:handle_demand, _, _}
    ask(producer, tag, 4)
    assert batches(producer, tag) == [[5]]
    assert_receive {:handle_demand, ^producer, 3}
  end

  test "a full buffer keeps the last events, or the first" do
    for {keep, kept} <- [last: 4..8, first: 1..5] do
      producer = producer(buffer_size: 5, buffer_keep: keep)
      emit(producer, 1..3)
      emit(producer, 4..8)
      assert_receive {:format_discarded, ^producer, 3}
      assert drain(producer, 2) == Enum.to_list(kept)
    end
  end

  test "a batch larger than the whole buffer is cut at the end that is to go" do
    for {keep, kept} <- [last: 8..10, first: [0, 1, 2]] do
      producer = producer(buffer_size: 3, buffer_keep: keep)
      emit(producer, [0])
      emit(producer, 1..10)
      assert_receive {:format_discarded, ^producer, 8}
      assert drain(producer, 10) == Enum.to_list(kept)
    end
  end

  test "a buffer of size 0 keeps nothing" do
    producer = producer(buffer_size: 0)
    emit(producer, 1..3)
    assert_receive {:format_discarded, ^producer, 3}
    assert Stage.estimate_buffered_count(producer) == 0
  end

  test "what is discarded is logged unless format_discarded says no" do
    quiet = producer(buffer_size: 1)
    talkative = producer([buffer_size: 1], %{format_discarded: fn 2, _ -> true end})

    log =
      capture_log(fn ->
        emit(quiet, 1..3)
        emit(talkative, 1..3)
      end)

    assert log =~ "#{inspect(talkative)} has discarded 2 events"
    refute log =~ "#{inspect(quiet)} has discarded"
  end

  test "a message sent by sync_info or async_info comes behind what was buffered before" do
    producer = producer([])
    :ok = Stage.sync_info(producer, :nothing_buffered)
    assert_receive {:handle_info, ^producer, :nothing_buffered}

    emit(producer, [:a, :b])
    :ok = Stage.sync_info(producer, :first)
    :ok = Stage.async_info(producer, :second)
    emit(producer, [:c])
    settle(producer)
    refute_received {:handle_info, _, _}

    tag = ask(producer, subscribe(producer), 1)
    assert batches(producer, tag) == [[:a]]
    refute_received {:handle_info, _, _}
    ask(producer, tag, 1)
    assert_receive {:handle_info, ^producer, :first}
    assert_receive {:handle_info, ^producer, :second}
    assert batches(producer, tag) == [[:b]]
    ask(producer, tag, 1)
    assert batches(producer, tag) == [[:c]]
  end

  test "a message behind discarded events is not lost" do
    producer = producer(buffer_size: 2)
    emit(producer, 1..2)
    :ok = Stage.sync_info(producer, :behind)
    emit(producer, 3..4)
    assert_receive {:handle_info, ^producer, :behind}
  end

  describe "a buffer too deep for the heap" do
    # Terms of all kinds, shared and nested, must come back as they were.
    defp term(n) do
      pair = {n, -n}

      %{
        n: n,
        name: "event #{n}",
        body: String.duplicate("x", 100),
        pairs: [pair, pair],
        ref: make_ref(),
        f: 1.5
      }
    end

    test "gives back every term in order, however it is filled and emptied" do
      for sizes <- [[30_000], List.duplicate(1, 11_000), [1, 9_999, 1, 255, 1, 256, 257, 5_000]],
          ask <- [1, 7, 1000, 100_000] do
        producer = producer(buffer_size: :infinity)
        events = Enum.map(1..Enum.sum(sizes), &term/1)

        Enum.reduce(sizes, events, fn size, events ->
          {now, later} = Enum.split(events, size)
          emit(producer, now)
          later
        end)

        assert Stage.estimate_buffered_count(producer) == length(events)
        # Asking one by one for tens of thousands takes long; the first thousands tell as much.
        expected = if ask < 100, do: Enum.take(events, 100 * ask), else: events
        tag = subscribe(producer)
        got = for _ <- 1..ceil(length(expected) / ask), do: batches(producer, ask(producer, tag, ask))
        assert got |> Enum.concat() |> Enum.concat() == expected
      end
    end

    test "takes in and gives out at the same time without mixing up the order" do
      producer = producer(buffer_size: :infinity)
      emit(producer, 1..12_000)
      tag = subscribe(producer)

      got =
        for step <- 1..400 do
          last = 12_000 + step * 30
          emit(producer, (last - 29)..last)
          batches(producer, ask(producer, tag, 61))
        end

      assert got |> Enum.concat() |> Enum.concat() == Enum.to_list(1..24_000)
      assert Stage.estimate_buffered_count(producer) == 0
    end

    test "keeps the last or the first events across heap and native memory" do
      for {keep, kept} <- [last: 10_001..35_000, first: 1..25_000] do
        producer = producer(buffer_size: 25_000, buffer_keep: keep)
        for from <- 1..34_001//1000, do: emit(producer, from..(from + 999))
        assert Stage.estimate_buffered_count(producer) == 25_000
        assert drain(producer, 3000) == Enum.to_list(kept)
      end
    end

    test "lets messages through in their place" do
      producer = producer(buffer_size: :infinity)
      emit(producer, 1..15_000)
      :ok = Stage.sync_info(producer, :middle)
      emit(producer, 15_001..30_000)
      tag = ask(producer, subscribe(producer), 15_000)
      assert producer |> batches(tag) |> Enum.concat() == Enum.to_list(1..15_000)
      assert producer |> batches(ask(producer, tag, 20_000)) |> Enum.concat() == Enum.to_list(15_001..30_000)
      assert_receive {:handle_info, ^producer, :middle}
    end

    test "holds large events as well, in smaller portions" do
      producer = producer(buffer_size: :infinity)
      emit(producer, 1..10_000)
      large = for n <- 1..600, do: Map.new(1..200, &{&1, {n, "value", [&1]}})
      emit(producer, large)
      for event <- large, do: emit(producer, [event])
      tag = ask(producer, subscribe(producer), 10_000)
      assert producer |> batches(tag) |> Enum.concat() == Enum.to_list(1..10_000)
      portions = batches(producer, ask(producer, tag, 1200))
      assert Enum.concat(portions) == large ++ large
      assert length(portions) > div(1200, 256) + 1
    end

    test "leaves the producer's heap alone" do
      producer = producer(buffer_size: :infinity)
      emit(producer, 1..10_000)
      for n <- 1..100, do: emit(producer, Enum.map(1..1000, &term(n * &1)))
      :erlang.garbage_collect(producer)
      {:memory, bytes} = Process.info(producer, :memory)
      assert bytes < 1_000_000
    end
  end

  describe "a buffer of events that share much" do
    defp big(n), do: Map.new(1..n, &{&1, {&1, "value #{&1}"}})

    # Makes its events itself, for those of a message share nothing; they may refer to a map that it has.
    defp maker(options, size \\ 100) do
      make = fn {:make, make}, _from, script -> {:reply, :ok, make.(script.big), script} end
      producer = producer(options, %{handle_call: make, big: big(size)})
      emit(producer, 1..10_000)
      producer
    end

    defp make(producer, make), do: :ok = Stage.call(producer, {:make, make})
    defp off_heap(producer), do: Stage.info(producer).off_heap

    test "stays on the heap, where it is shared" do
      for event <- [
            &{&1, &2},
            &Map.put(&2, :number, &1),
            &%{number: &1, nested: [{:big, &2}]},
            &{&1, fn -> &2 end}
          ] do
        producer = maker(buffer_size: :infinity)
        make(producer, fn big -> Enum.map(1..1000, fn n -> event.(n, big) end) end)
        for n <- 1..300, do: make(producer, fn big -> [event.(n, big)] end)
        assert off_heap(producer) == 0
        assert Stage.estimate_buffered_count(producer) == 11_300
      end
    end

    test "stays there also when a copy would be larger than any memory" do
      producer = maker(buffer_size: :infinity)

      make(producer, fn _big ->
        folded = Enum.reduce(1..60, :leaf, fn _, term -> {term, term} end)
        for n <- 1..1000, do: {n, folded}
      end)

      assert off_heap(producer) == 0
      assert Stage.estimate_buffered_count(producer) == 11_000
    end

    test "takes no more memory than its events take once, one at a time as well" do
      producer = maker([buffer_size: :infinity], 500)
      for n <- 1..2000, do: make(producer, fn big -> [{n, big}] end)
      assert off_heap(producer) == 0
      {:memory, bytes} = Process.info(producer, :memory)
      # each by itself would take 40 KB
      assert bytes < 10_000_000
    end

    test "is told from one whose events share little, chunk by chunk, and the order is kept" do
      for {n, ask} <- [{7, 4000}, {300, 1000}, {1500, 5000}] do
        producer = maker([buffer_size: :infinity], 40)

        for shared? <- [false, true, false, true, false], from <- 1..1500//n do
          make(producer, fn big -> for i <- from..min(from + n - 1, 1500), do: event(shared?, i, big) end)
        end

        # what has just changed may be of either kind
        assert off_heap(producer) in 1500..7000

        events =
          for shared? <- [false, true, false, true, false], i <- 1..1500, do: event(shared?, i, big(40))

        assert drain(producer, ask) == Enum.to_list(1..10_000) ++ events
        assert off_heap(producer) == 0
      end
    end

    defp event(true, n, big), do: {n, big}
    defp event(false, n, _big), do: %{n: n, name: "event #{n}", pairs: [{n, -n}], float: n / 3}

    test "loses no event, and discards the right ones, however it is filled and emptied" do
      for seed <- 1..5, do: filled_and_emptied(seed)
    end

    defp filled_and_emptied(seed) do
      :rand.seed(:exsss, {seed, 2, 3})
      keep = Enum.random([:last, :first])
      limit = Enum.random([:infinity, 10_100, 10_256, 12_000])
      producer = maker([buffer_size: limit, buffer_keep: keep], 20)
      tag = subscribe(producer)

      {buffer, _next} =
        Enum.reduce(1..60, {Enum.to_list(1..10_000), 1}, fn _, {buffer, next} ->
          if :rand.uniform(4) == 4 do
            n = :rand.uniform(min(2000, length(buffer)))
            {now, later} = Enum.split(buffer, n)
            assert producer |> batches(ask(producer, tag, n)) |> Enum.concat() == now
            {later, next}
          else
            n = Enum.random([1, 10, 100, 256, 300, 1500])
            shared? = :rand.uniform(2) == 1
            make(producer, fn big -> for i <- next..(next + n - 1), do: event(shared?, i, big) end)
            events = for i <- next..(next + n - 1), do: event(shared?, i, big(20))
            {cut(buffer ++ events, limit, keep), next + n}
          end
        end)

      assert Stage.estimate_buffered_count(producer) == length(buffer)
      assert drain(producer, 5000) == buffer
    end

    defp cut(events, :infinity, _keep), do: events
    defp cut(events, limit, :first), do: Enum.take(events, limit)
    defp cut(events, limit, :last), do: Enum.take(events, -limit)

    test "of the default size stays on the heap as a whole" do
      producer = producer([])
      for _ <- 1..30, do: emit(producer, Enum.map(1..500, &term/1))
      assert %{buffered: 10_000, off_heap: 0} = Stage.info(producer)
    end
  end

  test "many deep buffers that are dropped at once are freed by one thread" do
    threads = fn -> length(File.ls!("/proc/self/task")) end

    pids =
      for _ <- 1..40 do
        pid = producer(buffer_size: :infinity)
        emit(pid, 1..50_500)
        pid
      end

    before = threads.()
    monitors = for pid <- pids, do: Process.monitor(pid) |> tap(fn _ -> Process.exit(pid, :kill) end)

    most =
      Enum.reduce(monitors, before, fn monitor, most ->
        assert_receive {:DOWN, ^monitor, _, _, _}, 5000
        max(most, threads.())
      end)

    assert most - before < 10
  end
end
