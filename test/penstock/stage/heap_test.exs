defmodule Penstock.Stage.HeapTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.{ScriptedStage, Stage}
  alias Penstock.Stage.Heap

  @moduletag :capture_log

  # Of about 24 words.
  defp events(n), do: for(i <- 1..n, do: {i, List.duplicate(i, 10)})

  defmodule Counter do
    use Stage

    def init(subscription), do: {:consumer, 0, subscribe_to: [subscription]}
    def handle_events(events, _from, sum), do: {:noreply, [], sum + length(events)}
    def handle_call(:sum, _from, sum), do: {:reply, sum, [], sum}
  end

  defp consumer(subscription) do
    {:ok, pid} = Stage.start(Counter, {self(), subscription})
    on_exit(fn -> Process.exit(pid, :kill) end)
    {tag, _options} = accept(pid, Keyword.fetch!(subscription, :max_demand))
    {pid, tag}
  end

  defp min_heap_size(pid) do
    {:garbage_collection, collection} = Process.info(pid, :garbage_collection)
    collection[:min_heap_size]
  end

  # Sends events, waits for the collection that leaves hardly anything, and says what the others left before it.
  defp handle(pid, tag, events) do
    :erlang.trace(pid, true, [:garbage_collection])
    send_events(pid, tag, events)
    collections(pid)
  end

  defp collections(pid) do
    assert_receive {:trace, ^pid, kind, info} when kind in [:gc_minor_end, :gc_major_end], 5000
    if info[:heap_size] + info[:mbuf_size] < 1000, do: [], else: [info[:heap_size] | collections(pid)]
  end

  # How often a process has been collected since the last call.
  defp starts(pid) do
    delivered = :erlang.trace_delivered(pid)
    assert_receive {:trace_delivered, ^pid, ^delivered}
    count_starts(pid, 0)
  end

  defp count_starts(pid, n) do
    receive do
      {:trace, ^pid, kind, _info} when kind in [:gc_minor_start, :gc_major_start] -> count_starts(pid, n + 1)
    after
      0 -> n
    end
  end

  test "a consumer's heap is collected when a large message has been handled, not while it is" do
    {consumer, tag} = consumer(max_demand: 1000)
    # the first collection has the start of the process to clear up as well
    handle(consumer, tag, events(300))
    for _ <- 1..3, do: assert(handle(consumer, tag, events(300)) == [])
    assert Stage.call(consumer, :sum) == 1200
  end

  test "messages that outgrow the heap let it grow to where they fit, and no further than to 833,000 words" do
    {consumer, tag} = consumer(max_demand: 200_000)
    assert [_ | _] = handle(consumer, tag, events(1500))
    assert [] = handle(consumer, tag, events(1500))
    assert min_heap_size(consumer) in 40_000..200_000
    assert [_ | _] = handle(consumer, tag, events(50_000))
    assert min_heap_size(consumer) in 600_000..850_000
    send_events(consumer, tag, events(50_000))
    assert Stage.call(consumer, :sum) == 103_000
    assert min_heap_size(consumer) in 600_000..850_000
  end

  test "a message is large by the number of its events, and of small events it takes more" do
    {consumer, tag} = consumer(max_demand: 1000)
    {:module, Heap} = Code.ensure_loaded(Heap)
    assert :erlang.trace_pattern({Heap, :collect, 0}, true, [:global]) == 1
    :erlang.trace(consumer, true, [:call])

    for {events, large?} <- [
          {events(32), true},
          {events(31), false},
          {Enum.to_list(1..200), true},
          {Enum.to_list(1..199), false},
          {[], false}
        ] do
      send_events(consumer, tag, events)
      settle(consumer)
      delivered = :erlang.trace_delivered(consumer)
      assert_receive {:trace_delivered, ^consumer, ^delivered}

      if large?,
        do: assert_received({:trace, ^consumer, :call, {Heap, :collect, []}}),
        else: refute_received({:trace, ^consumer, :call, _call})
    end
  end

  test "a buffer on the heap has it grow by large steps" do
    {:ok, producer} = ScriptedStage.start(:producer)
    on_exit(fn -> Process.exit(producer, :kill) end)
    narrow = min_heap_size(producer)
    Stage.call(producer, {:emit, events(10)})
    assert min_heap_size(producer) == narrow
    for _ <- 1..5, do: Stage.call(producer, {:emit, events(500)})
    assert min_heap_size(producer) > 3 * narrow
    for _ <- 1..10, do: Stage.call(producer, {:emit, events(700)})
    assert min_heap_size(producer) < 850_000
    assert Stage.estimate_buffered_count(producer) == 9510
  end

  test "nothing is collected while messages wait" do
    {consumer, tag} = consumer(max_demand: 1000)
    handle(consumer, tag, events(300))
    :sys.suspend(consumer)
    starts(consumer)
    for _ <- 1..3, do: send_events(consumer, tag, events(100))
    request = :gen_server.send_request(consumer, :sum)
    :sys.resume(consumer)
    assert {:reply, 600} = :gen_server.receive_response(request, 5000)
    assert starts(consumer) == 0
  end

  defp memory(pid), do: elem(Process.info(pid, :memory), 1)

  test "a stage that has had little to do is as small as any process" do
    {consumer, tag} = consumer(max_demand: 1000)
    for _ <- 1..3, do: send_events(consumer, tag, [1, 2, 3])
    settle(consumer)
    assert memory(consumer) < 16_000
    assert min_heap_size(consumer) == elem(:erlang.system_info(:min_heap_size), 1)
  end

  test "one that is at work has a heap for batches, and gives it back when it is at rest" do
    {consumer, tag} = consumer(max_demand: 1000)
    for _ <- 1..20, do: send_events(consumer, tag, [1, 2, 3])
    settle(consumer)
    assert min_heap_size(consumer) in 28_000..40_000
    rest(consumer)
    assert min_heap_size(consumer) == elem(:erlang.system_info(:min_heap_size), 1)
    assert memory(consumer) < 16_000
    # and again
    for _ <- 1..20, do: send_events(consumer, tag, [1, 2, 3])
    settle(consumer)
    assert min_heap_size(consumer) in 28_000..40_000
  end

  defmodule Looker do
    use Stage

    def init({test, subscription}), do: {:consumer, test, subscribe_to: [subscription]}

    def handle_events(events, _from, test) do
      {:garbage_collection, settings} = Process.info(self(), :garbage_collection)
      send(test, {:looked, length(events), settings[:min_heap_size]})
      {:noreply, [], test}
    end
  end

  # What the heap of a new stage is at least while it handles its first message, and what it was before.
  defp first_message(events, options \\ []) do
    {:ok, consumer} = Stage.start(Looker, {self(), {self(), max_demand: 10_000, min_demand: 0}}, options)
    on_exit(fn -> Process.exit(consumer, :kill) end)
    {tag, _options} = accept(consumer, 10_000)
    before = min_heap_size(consumer)
    send_events(consumer, tag, events)
    size = length(events)
    assert_receive {:looked, ^size, least}
    {before, least}
  end

  test "a first message that is large finds a heap with room for it" do
    for {n, words} <- [{32, 28_000}, {1000, 64_000}, {3000, 192_000}] do
      {before, least} = first_message(events(n))
      assert before < 1000
      assert least in words..(2 * words)
    end

    # of which there is no more than for the largest
    {_before, least} = first_message(Enum.map(1..10_000, &{&1}))
    assert least in 600_000..850_000
  end

  test "a first message that is small, or comes to a heap of one's own size or limit, finds it as it was" do
    for {events, options} <- [
          {events(31), []},
          {Enum.to_list(1..199), []},
          {events(1000), spawn_opt: [min_heap_size: 30_000]},
          {events(1000), spawn_opt: [max_heap_size: 1_000_000]}
        ] do
      {before, least} = first_message(events, options)
      assert least == before
    end
  end

  # What a stage sends itself after a while. It finds that nothing has happened since the one before.
  defp rest(pid) do
    send(pid, :"$penstock_rest")
    send(pid, :"$penstock_rest")
    settle(pid)
  end

  test "a heap that large messages have made grow goes again" do
    {consumer, tag} = consumer(max_demand: 200_000)
    for _ <- 1..3, do: handle(consumer, tag, events(5000))
    assert min_heap_size(consumer) > 100_000
    rest(consumer)
    assert memory(consumer) < 16_000
    assert Stage.call(consumer, :sum) == 15_000
  end

  test "a heap of one's own size is gone back to" do
    {:ok, consumer} = Stage.start(Counter, {self(), max_demand: 1000}, spawn_opt: [min_heap_size: 5000])
    {tag, _options} = accept(consumer, 1000)
    own = min_heap_size(consumer)
    assert own in 5000..8000
    for _ <- 1..20, do: send_events(consumer, tag, [1, 2, 3])
    settle(consumer)
    assert min_heap_size(consumer) in 28_000..40_000
    rest(consumer)
    assert min_heap_size(consumer) == own
  end

  test "a heap of limited size is left to the VM, however small the limit" do
    limit = %{size: 12_000, kill: true, error_logger: false}

    for spawn_opt <- [
          [max_heap_size: limit],
          [max_heap_size: 27_000],
          [min_heap_size: 300, max_heap_size: limit]
        ] do
      {:ok, consumer} = Stage.start(Counter, {self(), max_demand: 1000}, spawn_opt: spawn_opt)
      {tag, _options} = accept(consumer, 1000)
      before = min_heap_size(consumer)

      # one by one, for messages that wait count too
      for n <- 1..40 do
        send_events(consumer, tag, Enum.to_list(1..200))
        assert Stage.call(consumer, :sum) == n * 200
      end

      assert min_heap_size(consumer) == before
      {:ok, producer} = ScriptedStage.start(:producer, [], %{}, spawn_opt: spawn_opt)
      before = min_heap_size(producer)
      # far fewer than the limit holds, for while the VM collects a heap it has two of them
      for n <- 1..15, do: Stage.call(producer, {:emit, List.duplicate(n, 20)})
      assert Stage.estimate_buffered_count(producer) == 300
      assert min_heap_size(producer) == before
    end
  end
end
