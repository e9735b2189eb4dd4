defmodule Penstock.Stage.Shelf do
  @moduledoc false
  # The buffered events that are still on the producer's heap, the oldest of all that it has buffered. Their
  # number is the native buffer's business; here they only wait: batch by batch, and what comes in dribs and
  # drabs in one list, newest first, that becomes a batch when it is needed.

  @type t :: {front :: [batch], rear :: [batch], loose_size :: non_neg_integer, loose :: [term]}
  @typep batch :: {size :: pos_integer, [term, ...]}

  # Batches smaller than this cost less as loose events.
  @small 16

  @spec new() :: t
  def new, do: {[], [], 0, []}

  @spec put(t, [term], non_neg_integer) :: t
  def put({front, rear, loose_size, loose}, events, size) when size < @small,
    do: {front, rear, loose_size + size, :lists.reverse(events, loose)}

  def put({front, rear, 0, []}, events, size), do: {front, [{size, events} | rear], 0, []}
  def put(shelf, events, size), do: shelf |> tidy() |> put(events, size)

  # The oldest `n` events; fewer when there are fewer.
  @spec take(t, non_neg_integer) :: {[term], t}
  def take({[], [], size, loose}, n) when n >= size, do: {:lists.reverse(loose), new()}

  def take({[], [], size, loose}, n) do
    {now, later} = loose |> :lists.reverse() |> split(n)
    {now, {[{size - n, later}], [], 0, []}}
  end

  def take({[{size, events} | front], rear, loose_size, loose}, n) when n < size do
    {now, later} = split(events, n)
    {now, {[{size - n, later} | front], rear, loose_size, loose}}
  end

  def take(shelf, n) do
    {batches, shelf} = take(shelf, n, [])
    {join(batches), shelf}
  end

  defp take(shelf, 0, taken), do: {taken, shelf}
  defp take({[], [], 0, []} = shelf, _n, taken), do: {taken, shelf}
  defp take({[], [], _size, _loose} = shelf, n, taken), do: shelf |> tidy() |> take(n, taken)
  defp take({[], rear, size, loose}, n, taken), do: take({:lists.reverse(rear), [], size, loose}, n, taken)

  defp take({[{size, events} | front], rear, loose_size, loose}, n, taken) when size <= n,
    do: take({front, rear, loose_size, loose}, n - size, [events | taken])

  defp take({[{size, events} | front], rear, loose_size, loose}, n, taken) do
    {now, later} = :lists.split(n, events)
    {[now | taken], {[{size - n, later} | front], rear, loose_size, loose}}
  end

  defp split([event | events], 1), do: {[event], events}
  defp split(events, n), do: :lists.split(n, events)

  defp tidy({front, rear, size, loose}), do: {front, [{size, :lists.reverse(loose)} | rear], 0, []}

  defp join([events]), do: events
  defp join(batches), do: batches |> :lists.reverse() |> :lists.append()
end
