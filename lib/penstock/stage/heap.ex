defmodule Penstock.Stage.Heap do
  @moduledoc false
  # When the heap of a stage grows and is collected.
  #
  # A stage begins with as small a heap as any process, and has a larger one while it has a use for it: at ten events a
  # batch, stages pass on a tenth more with one that holds the two messages of 500 structs that the default demand has on
  # the way, for a small one is collected for every few batches, with little to be found each time.
  #
  # The heap of one that receives large messages is collected between two of them, when hardly anything is alive and it
  # costs 0.2 us, and not in the middle of one, when all of its events are copied once more.
  #
  # Messages that wait are part of the heap, so it is collected when none does; and it grows to where the messages
  # fit that come at once, or it is collected as soon as one is received.
  #
  # A stage that has grown its heap looks after a while whether it has done much since. If not, it has the one again that
  # it began with. A heap whose size is limited is left to the VM.

  alias Penstock.Stage.State

  # Of smaller messages, in events, most are dead anyway by the next collection.
  @large 32
  @large_of_words 200

  # In words: about what an event of a large message takes, and as much again.
  @event 64

  # So few events do not make a heap grow by much.
  @few 16

  # In words; the VM makes 833,000 of it, for heaps grow by steps. A heap that grows beyond this is left alone: its
  # owner has a use for it.
  @most 600_000

  # In words: of a stage that is at work, which is one that has had so many messages in so many ms.
  @working 28_000
  @messages 8
  @soon 100

  # How long a heap stays that has grown, in ms, and how many reductions are much in that time.
  @while 2000
  @much 8000

  # What is to be gone back to, and how many reductions had been counted at the latest look.
  @grown {__MODULE__, :grown}

  @typedoc "How warm a stage is: `:warm`, or what counts its first messages."
  @type t :: :warm | {left :: pos_integer, since :: integer | :free | nil}

  @spec new() :: t
  def new, do: {@messages, nil}

  @doc """
  What a stage that is not warm yet does before it receives a message. Before the first one it sees whether its heap may grow
  at all, or has been given the size that it has: with a large message at hand that is not to be found out, for any such call
  collects the heap.
  """
  @spec look(t) :: t
  def look({@messages, nil}) do
    {limit, least} = settings()
    if limit > 0 or least >= @working, do: :warm, else: {@messages, :free}
  end

  def look(heap), do: heap

  @doc "Counts a message of a stage that is not warm yet, and has not handled this one."
  @spec warm_up(t, message :: term) :: t
  def warm_up({@messages, :free} = heap, {:"$gen_consumer", _from, events}) when length(events) >= @large do
    size = length(events)
    if large?(events, size), do: receive_large(size), else: count(heap)
  end

  def warm_up(heap, _message), do: count(heap)

  # The message is outside of the heap as yet and comes into it with the first call that collects, which is that of the flag.
  # In a heap that it just fits into it would be copied again while it is handled, and kept for long.
  defp receive_large(size) do
    grown(min(max(size * @event, @working), @most))
    :warm
  end

  defp count({@messages, _since}), do: {@messages - 1, System.monotonic_time(:millisecond)}

  defp count({1, since}) do
    if System.monotonic_time(:millisecond) - since <= @soon do
      {size, min} = sizes()
      if min < @working and size <= @working, do: widen(@working)
      :warm
    else
      new()
    end
  end

  defp count({left, since}), do: {left - 1, since}

  # The loop keeps the message until its callback has returned, so it is the loop that collects.
  @spec collect_after(State.step()) :: State.step()
  def collect_after({:noreply, stage}), do: {:noreply, stage, :collect}
  def collect_after(step), do: step

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
    if size > min and min < @most, do: grow(min(max(3 * size, @working), @most))
    :ok
  end

  # The same for a queue that is shorter than all that passes through it. Of numbers it takes so little that in a small heap,
  # which stays in the processor's cache, they are collected faster than in a large one.
  @spec make_room([term, ...], n :: pos_integer) :: :ok
  def make_room([event | _], _n) when is_number(event) or is_atom(event), do: :ok
  def make_room(_events, n), do: make_room(n)

  # Of the heap, and the least that it may have.
  defp sizes do
    {:heap_size, size} = :erlang.process_info(self(), :heap_size)
    {:min_heap_size, min} = :erlang.process_info(self(), :min_heap_size)
    {size, min}
  end

  # It was too small for what came, and was collected at the worst time: the next one is not.
  defp widen(words) do
    if grow(words), do: collect_young(), else: :ok
  end

  defp grow(words) do
    {limit, _least} = settings()
    limit == 0 and grown(words)
  end

  defp grown(words) do
    before = Process.flag(:min_heap_size, words)
    if Process.get(@grown) == nil, do: remind(before)
    true
  end

  defp settings do
    {:garbage_collection, settings} = :erlang.process_info(self(), :garbage_collection)
    %{size: limit} = settings[:max_heap_size]
    {limit, settings[:min_heap_size]}
  end

  defp remind(least) do
    Process.put(@grown, {least, reductions()})
    Process.send_after(self(), :"$penstock_rest", @while)
  end

  defp reductions do
    {:reductions, n} = :erlang.process_info(self(), :reductions)
    n
  end

  defp collect_young do
    :erlang.garbage_collect(self(), type: :minor)
    :ok
  end

  @doc "Gives a heap that has grown back, if the stage has not done much of late."
  @spec settle(t) :: t
  def settle(heap) do
    case Process.get(@grown) do
      nil ->
        heap

      {least, before} ->
        if reductions() - before > @much do
          remind(least)
          heap
        else
          shrink(least)
        end
    end
  end

  defp shrink(least) do
    Process.delete(@grown)
    Process.flag(:min_heap_size, least)
    :erlang.garbage_collect()
    new()
  end
end
