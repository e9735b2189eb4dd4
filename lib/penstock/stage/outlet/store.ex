defmodule Penstock.Stage.Outlet.Store do
  @moduledoc false
  # How events that nobody waits for come into the buffer: on the heap of their producer, or outside of it.

  alias Penstock.Native
  alias Penstock.Stage.{Outlet, Shelf, Weighing}

  # As many events as leave the heap together, which the native core knows too.
  @chunk 256

  @doc "Buffers events; says how many were discarded, older ones or these."
  @spec put(Outlet.t(), [term], non_neg_integer) :: {discarded :: non_neg_integer, Outlet.t()}
  def put(outlet, events, size), do: put(outlet, events, size, 0)

  defp put(outlet, [], 0, discarded), do: {discarded, outlet}

  defp put(%Outlet{core: core, shelf: shelf, weighing: weighing} = outlet, events, size, discarded) do
    case Native.stage_store(core, events, size, Weighing.copy?(weighing)) do
      {:copied, rest, stored, evicted, from_heap, marks, large?} ->
        {_evicted, shelf} = Shelf.take(shelf, from_heap)
        outlet = %{outlet | shelf: shelf, weighing: Weighing.copied(weighing, stored, large?)}
        outlet |> Outlet.release(marks) |> put(rest, size - stored, discarded + evicted)

      {:full, staged} ->
        {recent, shelf} = Shelf.take_newest(shelf, staged)
        spill(%{outlet | shelf: shelf}, recent ++ events, size + staged, discarded)

      stored ->
        shelve(stored, events, size, outlet, discarded)
    end
  end

  defp shelve({:heap, evicted, from_heap, refused, marks}, events, size, outlet, discarded) do
    kept = if refused == 0, do: events, else: Enum.take(events, size - refused)
    {_evicted, shelf} = outlet.shelf |> Shelf.put(kept, size - refused) |> Shelf.take(from_heap)
    {discarded + evicted + refused, Outlet.release(%{outlet | shelf: shelf}, marks)}
  end

  # Has a chunk of events leave the heap, unless what they share would be lost, and stores the rest.
  defp spill(%Outlet{weighing: weighing} = outlet, events, size, discarded) do
    chunk = min(size, @chunk)

    case Weighing.judge(weighing, events, chunk) do
      {:copy, weighed?, weighing} ->
        copy(%{outlet | weighing: weighing}, events, size, chunk, weighed?, discarded)

      {:keep, _weighed?, weighing} ->
        keep(%{outlet | weighing: weighing}, events, size, chunk, discarded)
    end
  end

  defp keep(%Outlet{core: core} = outlet, events, size, chunk, discarded) do
    {now, later} = :lists.split(chunk, events)
    {discarded, outlet} = core |> Native.stage_keep(chunk) |> shelve(now, chunk, outlet, discarded)
    put(outlet, later, size - chunk, discarded)
  end

  defp copy(outlet, events, size, 0, _weighed?, discarded), do: put(outlet, events, size, discarded)

  defp copy(%Outlet{core: core} = outlet, events, size, chunk, weighed?, discarded) do
    case Native.stage_spill(core, events, chunk) do
      # there is no room
      {_events, 0, _evicted, _from_heap, _marks} ->
        {discarded + size, outlet}

      {rest, stored, evicted, from_heap, marks} ->
        {_evicted, shelf} = Shelf.take(outlet.shelf, from_heap)
        outlet = Outlet.release(%{outlet | shelf: shelf}, marks)
        copied(outlet, rest, size - stored, chunk - stored, weighed?, discarded + evicted)
    end
  end

  # Events that take so long that they are not copied in one call are large, so they are not copied unweighed.
  defp copied(outlet, events, size, chunk, false, discarded) when chunk > 0 do
    case Weighing.weigh(outlet.weighing, events, chunk) do
      {:copy, weighing} -> copy(%{outlet | weighing: weighing}, events, size, chunk, true, discarded)
      {:keep, weighing} -> keep(%{outlet | weighing: weighing}, events, size, chunk, discarded)
    end
  end

  defp copied(outlet, events, size, chunk, weighed?, discarded),
    do: copy(outlet, events, size, chunk, weighed?, discarded)
end
