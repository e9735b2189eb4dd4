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
  @type t :: :warm | {left :: pos_integer, since :: integer | nil}

  @spec new() :: t
  def new, do: {@messages, nil}

  @doc "Counts a message of a stage that is not warm yet."
  @spec warm_up(State.t()) :: State.t()
  def warm_up(%State{heap: {@messages, _since}} = stage),
    do: %{stage | heap: {@messages - 1, System.monotonic_time(:millisecond)}}

  def warm_up(%State{heap: {1, since}} = stage) do
    if System.monotonic_time(:millisecond) - since <= @soon do
      {size, min} = sizes()
      if min < @working and size <= @working, do: widen(@working)
      %{stage | heap: :warm}
    else
      %{stage | heap: new()}
    end
  end

  def warm_up(%State{heap: {left, since}} = stage), do: %{stage | heap: {left - 1, since}}

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
    if size > min and min < @most, do: grow(min(3 * size, @most))
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
    if grow(words), do: collect_young(), else: :ok
  end

  defp grow(words) do
    if limited?() do
      false
    else
      before = Process.flag(:min_heap_size, words)
      if Process.get(@grown) == nil, do: remind(before)
      true
    end
  end

  defp limited? do
    {:garbage_collection, settings} = :erlang.process_info(self(), :garbage_collection)
    %{size: limit} = settings[:max_heap_size]
    limit > 0
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
  @spec settle(State.t()) :: State.t()
  def settle(stage) do
    case Process.get(@grown) do
      nil ->
        stage

      {least, before} ->
        if reductions() - before > @much do
          remind(least)
          stage
        else
          shrink(least, stage)
        end
    end
  end

  defp shrink(least, stage) do
    Process.delete(@grown)
    Process.flag(:min_heap_size, least)
    :erlang.garbage_collect()
    if is_struct(stage, State), do: %{stage | heap: new()}, else: stage
  end
end
