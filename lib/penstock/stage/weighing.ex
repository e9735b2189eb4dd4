defmodule Penstock.Stage.Weighing do
  @moduledoc false
  # Whether buffered events leave the heap of their producer. They are copied for that, and a copy has as often as it is
  # referred to what terms on a heap share: a map that all of them hold, the literals of a module. So events are weighed
  # before, a few at a time and not every time, for weighing costs about as much as copying.
  #
  # What is shared is found among neighbours, at most a chunk of the buffer, and where they are large, a few of them.

  alias Penstock.Native
  alias __MODULE__

  @enforce_keys [:verdict, :left, :period]
  defstruct [:verdict, :left, :period]

  @type verdict :: :copy | :keep
  @type t :: %Weighing{verdict: verdict, left: non_neg_integer, period: pos_integer}

  # So many events share a verdict at first, and at most, when it has been the same time after time.
  @shortest 256
  @longest 4096

  # A copy of ordinary events, maps of atoms and numbers, is not quite twice as large, and the heap that they would be on
  # has as much again that is free.
  @times 2

  # What is to be told apart has to be more than one.
  @fewest 2

  @spec new() :: t
  def new, do: %Weighing{verdict: :copy, left: 0, period: @shortest}

  @doc "What happens to a chunk of events; whether they have been weighed themselves."
  @spec judge(t, [term, ...], pos_integer) :: {verdict, weighed? :: boolean, t}
  def judge(%Weighing{left: 0} = weighing, events, n) do
    {verdict, weighing} = weigh(weighing, events, n)
    {verdict, true, weighing}
  end

  def judge(%Weighing{} = weighing, _events, n), do: {weighing.verdict, false, spend(weighing, n)}

  @doc "Whether events may leave the heap unweighed, because those just before them were worth it."
  @spec copy?(t) :: boolean
  def copy?(%Weighing{verdict: verdict, left: left}), do: verdict == :copy and left > 0

  @doc "Notes that `n` events have left the heap unweighed. Large ones do so only once: the next are weighed."
  @spec copied(t, pos_integer, large? :: boolean) :: t
  def copied(%Weighing{} = weighing, _n, true), do: %{weighing | left: 0}
  def copied(%Weighing{} = weighing, n, false), do: spend(weighing, n)

  defp spend(%Weighing{left: left} = weighing, n), do: %{weighing | left: max(left - n, 0)}

  @doc "Weighs events."
  @spec weigh(t, [term, ...], pos_integer) :: {verdict, t}
  def weigh(%Weighing{} = weighing, events, n) do
    verdict = verdict(events, Native.stage_extent(events, n))
    period = if verdict == weighing.verdict, do: min(2 * weighing.period, @longest), else: @shortest
    {verdict, %Weighing{verdict: verdict, left: max(period - n, 0), period: period}}
  end

  # Too large for a call to copy, or to compare with another.
  defp verdict(_events, extent) when extent < @fewest, do: :keep

  defp verdict(events, extent) do
    some = Enum.take(events, extent)
    if :erts_debug.flat_size(some) <= @times * :erts_debug.size_shared(some), do: :copy, else: :keep
  end
end
