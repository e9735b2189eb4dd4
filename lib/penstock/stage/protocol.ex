defmodule Penstock.Stage.Protocol do
  @moduledoc false
  # What a consumer may send to its producer, for stages and for any other process that plays a producer:
  #
  #     {:"$gen_producer", {pid, tag} = from, {:ask, n}}
  #     {:"$gen_producer", from, {:subscribe, nil | {tag, reason} = current, options}}
  #     {:"$gen_producer", from, {:cancel, reason}}
  #
  # Anyone can send anything. What these guards do not take is a message like any other, of no consequence. They are
  # guards and no function because an ask is what a producer gets most: here it costs nothing.

  # Counts cross into the native core, which counts to 2^64; half of a half leaves room to add.
  @most 4_611_686_018_427_387_903

  @doc "Who a message is from: a process, and what it calls its subscription (any term)."
  defguard is_from(from) when is_tuple(from) and tuple_size(from) == 2 and is_pid(elem(from, 0))

  defguard is_ask(from, n) when is_from(from) and is_integer(n)

  defguard is_subscribe(from, current)
           when is_from(from) and (current == nil or (is_tuple(current) and tuple_size(current) == 2))

  @doc "The largest number that a count may be."
  @spec most() :: pos_integer
  def most, do: @most
end
