defmodule Penstock.Stage.Output.Store do
  @moduledoc false
  # How events that nobody waits for come into the buffer: on the heap of their producer, or outside of it.

  alias Penstock.Native
  alias Penstock.Stage.{Output, EventQueue, Weighing}

  # As many events as leave the heap together, which the native core knows too.
  @chunk 256

  @doc "Buffers events; says how many were discarded, older ones or these."
  @spec put(Output.t(), [term], non_neg_integer) :: {discarded :: non_neg_integer, Output.t()}
  def put(output, events, size), do: put(output, events, size, 0)

  defp put(output, [], 0, discarded), do: {discarded, output}

  defp put(%Output{core: core, queue: queue, weighing: weighing} = output, events, size, discarded) do
    case Native.stage_store(core, events, size, Weighing.copy?(weighing)) do
      {:copied, rest, stored, evicted, from_heap, marks, large?} ->
        {_evicted, queue} = EventQueue.take(queue, from_heap)
        output = %{output | queue: queue, weighing: Weighing.copied(weighing, stored, large?)}
        output |> Output.release(marks) |> put(rest, size - stored, discarded + evicted)

      {:full, staged} ->
        {recent, queue} = EventQueue.take_newest(queue, staged)
        spill(%{output | queue: queue}, recent ++ events, size + staged, discarded)

      stored ->
        stored(stored, events, size, output, discarded)
    end
  end

  defp stored({:heap, evicted, from_heap, refused, marks}, events, size, output, discarded) do
    kept = if refused == 0, do: events, else: Enum.take(events, size - refused)
    {_evicted, queue} = output.queue |> EventQueue.put(kept, size - refused) |> EventQueue.take(from_heap)
    {discarded + evicted + refused, Output.release(%{output | queue: queue}, marks)}
  end

  # Has a chunk of events leave the heap, unless what they share would be lost, and stores the rest.
  defp spill(%Output{weighing: weighing} = output, events, size, discarded) do
    chunk = min(size, @chunk)

    case Weighing.judge(weighing, events, chunk) do
      {:copy, weighed?, weighing} ->
        copy(%{output | weighing: weighing}, events, size, chunk, weighed?, discarded)

      {:keep, _weighed?, weighing} ->
        keep(%{output | weighing: weighing}, events, size, chunk, discarded)
    end
  end

  defp keep(%Output{core: core} = output, events, size, chunk, discarded) do
    {now, later} = :lists.split(chunk, events)
    {discarded, output} = core |> Native.stage_keep(chunk) |> stored(now, chunk, output, discarded)
    put(output, later, size - chunk, discarded)
  end

  defp copy(output, events, size, 0, _weighed?, discarded), do: put(output, events, size, discarded)

  defp copy(%Output{core: core} = output, events, size, chunk, weighed?, discarded) do
    case Native.stage_spill(core, events, chunk) do
      # there is no room
      {_events, 0, _evicted, _from_heap, _marks} ->
        {discarded + size, output}

      {rest, stored, evicted, from_heap, marks} ->
        {_evicted, queue} = EventQueue.take(output.queue, from_heap)
        output = Output.release(%{output | queue: queue}, marks)
        copied(output, rest, size - stored, chunk - stored, weighed?, discarded + evicted)
    end
  end

  # Events that take so long that they are not copied in one call are large, so they are not copied unweighed.
  defp copied(output, events, size, chunk, false, discarded) when chunk > 0 do
    case Weighing.weigh(output.weighing, events, chunk) do
      {:copy, weighing} -> copy(%{output | weighing: weighing}, events, size, chunk, true, discarded)
      {:keep, weighing} -> keep(%{output | weighing: weighing}, events, size, chunk, discarded)
    end
  end

  defp copied(output, events, size, chunk, weighed?, discarded),
    do: copy(output, events, size, chunk, weighed?, discarded)
end
