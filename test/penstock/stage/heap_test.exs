defmodule Penstock.Stage.HeapTest do
  use ExUnit.Case, async: true

  import Penstock.StageWire

  alias Penstock.Stage

  @moduletag :capture_log

  # Of about 24 words.
  defp events(n), do: for(i <- 1..n, do: {i, List.duplicate(i, 10)})

  defmodule Counter do
    use Stage

    def init(subscription), do: {:consumer, 0, subscribe_to: [subscription]}
    def handle_events(events, _from, sum), do: {:noreply, [], sum + length(events)}
    def handle_call(:sum, _from, sum), do: {:reply, sum, [], sum}
  end

  defp consumer(subscription, options \\ []) do
    {:ok, pid} = Stage.start(Counter, {self(), subscription}, options)
    on_exit(fn -> Process.exit(pid, :kill) end)
    {tag, _options} = accept(pid, Keyword.fetch!(subscription, :max_demand))
    {pid, tag}
  end

  defp info(pid, item), do: pid |> Process.info(item) |> elem(1)

  # All that its messages and its heap hold.
  defp memory(pid) do
    settle(pid)
    {:garbage_collection_info, info} = Process.info(pid, :garbage_collection_info)
    info[:recent_size] + info[:mbuf_size] + info[:old_heap_size]
  end

  test "a consumer keeps nothing of a large message that it has handled" do
    {consumer, tag} = consumer(max_demand: 1000)
    before = memory(consumer)

    for _ <- 1..4 do
      send_events(consumer, tag, events(500))
      assert memory(consumer) - before < 500
    end

    assert Stage.call(consumer, :sum) == 2000
  end

  test "messages that outgrow the heap let it grow to where they fit, and no further than to 300,000 words" do
    {consumer, tag} = consumer(max_demand: 200_000)
    narrow = info(consumer, :garbage_collection)[:min_heap_size]

    for _ <- 1..3 do
      send_events(consumer, tag, events(5000))
      settle(consumer)
    end

    assert info(consumer, :garbage_collection)[:min_heap_size] > max(narrow, 120_000)

    for _ <- 1..3 do
      send_events(consumer, tag, events(100_000))
      settle(consumer)
    end

    assert info(consumer, :garbage_collection)[:min_heap_size] < 350_000
  end

  test "messages wait beside the heap when they are large, or as the owner says" do
    {large, _tag} = consumer(max_demand: 1000)
    assert info(large, :message_queue_data) == :off_heap
    {small, _tag} = consumer(max_demand: 10)
    assert info(small, :message_queue_data) == :on_heap
    {told, _tag} = consumer([max_demand: 1000], spawn_opt: [message_queue_data: :on_heap])
    assert info(told, :message_queue_data) == :on_heap
  end
end
