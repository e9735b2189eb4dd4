defmodule Penstock.Stage.Heap do
  @moduledoc false
  # When the heap of a stage grows and is collected.
  #
  # That of one that receives large messages is collected between two of them, when hardly anything is alive and it
  # costs 0.2 us, and not in the middle of one, when all of its events are copied once more.
  #
  # Messages that wait are part of the heap, so it is collected when none does; and it grows to where the messages
  # fit that come at once, or it is collected as soon as one is received.

  alias Penstock.Stage.State

  # Of smaller messages, in events, most are dead anyway by the next collection.
  @large 32
  @large_of_words 200

  # So few events do not make a heap grow by much.
  @few 16

  # In words; the VM makes 833,000 of it, for heaps grow by steps. A heap that grows beyond this is left alone: its
  # owner has a use for it.
  @most 600_000

  # The loop keeps the message until its callback has returned, so it is the loop that collects.
  @spec collect_after(State.step(), large? :: boolean) :: State.step()
  def collect_after({:noreply, stage}, true), do: {:noreply, stage, :collect}
  def collect_after(step, _large?), do: step

  # Whether a message with these events is a large one, by the look of the first of them.
  @spec large?([term], size :: non_neg_integer) :: boolean
  def large?([event | _], size) when is_number(event) or is_atom(event), do: size >= @large_of_words
  def large?(_events, size), do: size >= @large

  @spec collect() :: :ok
  def collect do
    {:message_queue_len, waiting} = :erlang.process_info(self(), :message_queue_len)
    if waiting == 0, do: collect_now(), else: :ok
  end

  defp collect_now do
    {size, min} = sizes()

    cond do
      size <= min + div(min, 4) -> collect_young()
      min < @most -> widen(min(2 * size, @most))
      true -> :ok
    end
  end

  # Makes room before a heap grows by itself, step by step, and copies with each of them all that it keeps: `n` events
  # more, at least, and more of them to come.
  @spec make_room(n :: pos_integer) :: :ok
  def make_room(n) when n < @few, do: :ok

  def make_room(_n) do
    {size, min} = sizes()
    if size > min and min < @most, do: Process.flag(:min_heap_size, min(3 * size, @most))
    :ok
  end

  # Of the heap, and the least that it may have.
  defp sizes do
    {:heap_size, size} = :erlang.process_info(self(), :heap_size)
    {:min_heap_size, min} = :erlang.process_info(self(), :min_heap_size)
    {size, min}
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
