defmodule Penstock.ConsumerSupervisor.Demand do
  @moduledoc false
  # What each producer is owed and owes: how many of its events are being worked on, and how many are done
  # and not asked for again.

  require Logger

  alias Penstock.Stage

  @type t :: %{(tag :: term) => subscription}
  @typep subscription ::
           {Stage.from(), running :: non_neg_integer, done :: non_neg_integer, min :: non_neg_integer,
            max :: pos_integer}

  @spec new() :: t
  def new, do: %{}

  @spec open(t, Stage.from(), non_neg_integer, pos_integer) :: t
  def open(demand, {_pid, tag} = from, min, max), do: Map.put(demand, tag, {from, 0, 0, min, max})

  @spec close(t, tag :: term) :: t
  def close(demand, tag), do: Map.delete(demand, tag)

  @spec received(t, Stage.from(), non_neg_integer) :: t
  def received(demand, {_pid, tag} = from, n) do
    case demand do
      %{^tag => {to, running, done, min, max}} ->
        if running + n > max, do: excess(running + n - max, from)
        %{demand | tag => {to, running + n, done, min, max}}

      %{} ->
        demand
    end
  end

  # Children that are done make room for as many events; those that were started by hand (`:dynamic`) took none.
  @spec freed(t, tag :: term, non_neg_integer) :: t
  def freed(demand, _tag, 0), do: demand

  def freed(demand, tag, n) do
    case demand do
      %{^tag => {to, running, done, min, max}} when done + n >= min ->
        Stage.ask(to, done + n)
        %{demand | tag => {to, running - n, 0, min, max}}

      %{^tag => {to, running, done, min, max}} ->
        %{demand | tag => {to, running - n, done + n, min, max}}

      %{} ->
        demand
    end
  end

  defp excess(n, from) do
    Logger.error("Penstock.ConsumerSupervisor has received #{n} events in excess from: #{inspect(from)}")
  end
end
