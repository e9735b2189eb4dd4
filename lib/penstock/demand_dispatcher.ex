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
    * `:rate` - how many events may leave in how many milliseconds, `{events, milliseconds}`. An interval begins with
      the first event that leaves after the one before has ended. The producer is asked for no more events than may
      leave; what consumers wait for beyond that waits for the next interval. By default any number.

  A producer of at most 100 events a second, to all of its consumers together:

      {:producer, state, dispatcher: {Penstock.DemandDispatcher, rate: {100, 1000}}}

  A subscription takes `:filter`, to say which events it wants: see `Penstock.Dispatcher`.
  """

  alias Penstock.Stage.Options

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    with {:ok, max, options} <- max_demand(options),
         {:ok, shuffle?, options} <-
           Options.one_of(options, :shuffle_demands_on_first_dispatch, false, [true, false, nil]),
         {:ok, rate, options} <- rate(options),
         :ok <- Options.none_left(options) do
      shuffle? = shuffle? == true
      {:ok, if(rate, do: {:demand, max, shuffle?, rate}, else: {:demand, max, shuffle?})}
    end
  end

  # The longest interval is what a timer of the VM can wait for.
  @longest 4_294_967_295

  defp rate(options) do
    case Keyword.pop(options, :rate) do
      {nil, options} ->
        {:ok, nil, options}

      {{n, interval}, options}
      when is_integer(n) and n > 0 and is_integer(interval) and interval in 1..@longest ->
        {:ok, {min(n, Options.most()), interval}, options}

      {other, _options} ->
        what = "a tuple of two positive integers, events and milliseconds (at most #{@longest})"
        Options.expected(:rate, what, other)
    end
  end

  defp max_demand(options) do
    case Keyword.pop(options, :max_demand) do
      {nil, options} ->
        {:ok, nil, options}

      _ ->
        with {:ok, n, options} <- Options.integer(options, :max_demand, nil, 1),
             do: {:ok, min(n, Options.most()), options}
    end
  end
end
