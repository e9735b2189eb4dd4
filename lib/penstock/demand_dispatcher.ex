defmodule Penstock.DemandDispatcher do
  @moduledoc """
  Gives events to the consumer that has asked for most; the dispatcher of a producer that names none.

  Every event goes to one consumer. When nobody waits, events go to the producer's buffer. Demand that a
  consumer leaves behind serves the next one: the producer is not asked for it twice.

  Give all consumers the same `max_demand`: one that asks for more than the others is always served first.

  ## Options

    * `:max_demand` - the largest ask to expect, a positive integer. A larger one is honoured, and logged as
      a warning. By default the first ask that comes.
    * `:shuffle_demands_on_first_dispatch` - `true` serves consumers of equal demand in random order when
      events are dispatched for the first time, so that it isn't always the first one that gets them. By
      default `false`.

  A subscription takes `:filter`, to say which events it wants: see `Penstock.Dispatcher`.
  """

  alias Penstock.Stage.Options

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    with {:ok, max, options} <- max_demand(options),
         {:ok, shuffle?, options} <-
           Options.one_of(options, :shuffle_demands_on_first_dispatch, false, [true, false]),
         :ok <- Options.none_left(options) do
      {:ok, {:demand, max, shuffle?}}
    end
  end

  defp max_demand(options) do
    case Keyword.pop(options, :max_demand) do
      {nil, options} -> {:ok, nil, options}
      _ -> Options.integer(options, :max_demand, nil, 1..Options.most())
    end
  end
end
