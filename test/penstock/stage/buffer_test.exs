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
end
