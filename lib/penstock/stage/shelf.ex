defmodule Penstock.Stage.Shelf do
  @moduledoc false
  # The buffered events that are still on the producer's heap, the oldest of all that it has buffered. Their
  # number is the native buffer's business; here they only wait, batch by batch.

  @type t :: {front :: [batch], rear :: [batch]}
  @typep batch :: {size :: pos_integer, [term, ...]}

  @spec new() :: t
  def new, do: {[], []}

  @spec put(t, [term], non_neg_integer) :: t
  def put(shelf, _events, 0), do: shelf
  def put({front, rear}, events, size), do: {front, [{size, events} | rear]}

  # The oldest `n` events; fewer when there are fewer.
  @spec take(t, non_neg_integer) :: {[term], t}
  def take({front, rear}, n) do
    {batches, shelf} = take(front, rear, n, [])
    {join(batches), shelf}
  end

  defp take(front, rear, 0, taken), do: {taken, {front, rear}}
  defp take([], [], _n, taken), do: {taken, {[], []}}
  defp take([], rear, n, taken), do: take(:lists.reverse(rear), [], n, taken)

  defp take([{size, events} | front], rear, n, taken) when size <= n,
    do: take(front, rear, n - size, [events | taken])

  defp take([{size, events} | front], rear, n, taken) do
    {now, later} = :lists.split(n, events)
    {[now | taken], {[{size - n, later} | front], rear}}
  end

  defp join([events]), do: events
  defp join(batches), do: batches |> :lists.reverse() |> :lists.append()
end
