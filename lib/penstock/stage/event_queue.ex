defmodule Penstock.Stage.EventQueue do
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
  def put(queue, events, size), do: queue |> tidy() |> put(events, size)

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

  def take(queue, n) do
    {batches, queue} = take(queue, n, [])
    {join(batches), queue}
  end

  defp take(queue, 0, taken), do: {taken, queue}
  defp take({[], [], 0, []} = queue, _n, taken), do: {taken, queue}
  defp take({[], [], _size, _loose} = queue, n, taken), do: queue |> tidy() |> take(n, taken)
  defp take({[], rear, size, loose}, n, taken), do: take({:lists.reverse(rear), [], size, loose}, n, taken)

  defp take({[{size, events} | front], rear, loose_size, loose}, n, taken) when size <= n,
    do: take({front, rear, loose_size, loose}, n - size, [events | taken])

  defp take({[{size, events} | front], rear, loose_size, loose}, n, taken) do
    {now, later} = :lists.split(n, events)
    {[now | taken], {[{size - n, later} | front], rear, loose_size, loose}}
  end

  # The newest `n` events, of which there are as many.
  @spec take_newest(t, non_neg_integer) :: {[term], t}
  def take_newest(queue, n), do: take_newest(queue, n, [])

  defp take_newest(queue, 0, taken), do: {:lists.append(taken), queue}

  defp take_newest({front, rear, size, loose}, n, taken) when size >= n do
    {now, left} = :lists.split(n, loose)
    take_newest({front, rear, size - n, left}, 0, [:lists.reverse(now) | taken])
  end

  defp take_newest({_front, _rear, size, _loose} = queue, n, taken) when size > 0,
    do: queue |> tidy() |> take_newest(n, taken)

  defp take_newest({front, [], 0, []}, n, taken),
    do: take_newest({[], :lists.reverse(front), 0, []}, n, taken)

  defp take_newest({front, [{size, events} | rear], 0, []}, n, taken) when size <= n,
    do: take_newest({front, rear, 0, []}, n - size, [events | taken])

  defp take_newest({front, [{size, events} | rear], 0, []}, n, taken) do
    {left, now} = :lists.split(size - n, events)
    take_newest({front, [{size - n, left} | rear], 0, []}, 0, [now | taken])
  end

  defp split([event | events], 1), do: {[event], events}
  defp split(events, n), do: :lists.split(n, events)

  defp tidy({front, rear, size, loose}), do: {front, [{size, :lists.reverse(loose)} | rear], 0, []}

  defp join([events]), do: events
  defp join(batches), do: batches |> :lists.reverse() |> :lists.append()
end
