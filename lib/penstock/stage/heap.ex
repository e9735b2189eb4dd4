defmodule Penstock.Stage.Heap do
  @moduledoc false
  # When the heap of a stage that receives large messages is collected: between two of them, when hardly anything is
  # alive and it costs 0.2 us, and not in the middle of one, when all of its events are copied once more.
  #
  # That takes a queue whose messages wait beside the heap, or those that have come meanwhile are copied as well, and
  # a heap that a message fits, or it is collected as soon as the message is received.

  alias Penstock.Stage.State

  # Messages of fewer events go faster straight to the heap, where most are dead by the next collection.
  @large 64

  # In words. A heap that messages make grow beyond this is left alone: its owner has a use for it.
  @most 300_000

  @collect :"$penstock_collect"

  # What `handle_continue/2` gets when it is time to collect.
  defmacro collect_message, do: @collect

  # Prepares for messages as large as a subscription will bring, unless the owner has said how its queue is to be.
  @spec prepare(State.t(), max_demand :: pos_integer, min_demand :: non_neg_integer) :: :ok
  def prepare(%State{queue: :ours}, max, min) when max - min >= @large do
    Process.flag(:message_queue_data, :off_heap)
    :ok
  end

  def prepare(_stage, _max, _min), do: :ok

  # gen_server keeps the message that it has called a callback for: only after `handle_continue/2` is it dead.
  @spec collect_after(State.step(), size :: non_neg_integer) :: State.step()
  def collect_after({:noreply, stage}, size) when size >= @large, do: {:noreply, stage, {:continue, @collect}}
  def collect_after(step, _size), do: step

  @spec collect() :: :ok
  def collect do
    {:heap_size, size} = :erlang.process_info(self(), :heap_size)
    {:min_heap_size, min} = :erlang.process_info(self(), :min_heap_size)

    cond do
      size <= min + div(min, 4) -> collect_young()
      min < @most -> widen(min(2 * size, @most))
      true -> :ok
    end
  end

  # It was too small for what came, and was collected at the worst time: the next one is not.
  defp widen(words) do
    Process.flag(:min_heap_size, words)
    collect_young()
  end

  defp collect_young do
    :erlang.garbage_collect(self(), type: :minor)
    :ok
  end
end
