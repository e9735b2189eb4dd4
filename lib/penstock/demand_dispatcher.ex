defmodule Penstock.DemandDispatcher do
  alias Penstock.Stage.Options

  # The longest interval is what a timer of the VM can wait for.
  @longest Penstock.Options.longest()
  @rate "a tuple of two positive integers, events and milliseconds (at most #{@longest})"

  @options [
    max_demand: [
      type: {:or, nil, {:count, 1, Options.most()}},
      default: nil,
      doc:
        "The largest ask to expect. A larger one is honoured, and logged as a warning. With nil, the first ask that comes."
    ],
    shuffle_demands_on_first_dispatch: [
      type: {:in, [true, false, nil]},
      default: false,
      doc:
        "`true` serves consumers of equal demand in random order when events are dispatched for the first time, so " <>
          "that it isn't always the first one that gets them."
    ],
    rate: [
      type: {:or, nil, {:check, &__MODULE__.rate?/1, @rate}},
      default: nil,
      doc:
        "How many events may leave in how many milliseconds, `{events, milliseconds}`. An interval begins with the first " <>
          "event that leaves after the one before has ended. The producer is asked for no more events than may leave; " <>
          "what consumers wait for beyond that waits for the next interval. With nil, any number."
    ]
  ]

  @moduledoc """
  Gives events to the consumer that has asked for most; the dispatcher of a producer that names none.

  Every event goes to one consumer. When nobody waits, events go to the producer's buffer. Demand that a
  consumer leaves behind serves the next one: the producer is not asked for it twice.

  Give all consumers the same `max_demand`: one that asks for more than the others is always served first.

  ## Options

  #{Penstock.Options.docs(@options)}

  A producer of at most 100 events a second, to all of its consumers together:

      {:producer, state, dispatcher: {Penstock.DemandDispatcher, rate: {100, 1000}}}

  ## Options of a subscription

  #{Penstock.Options.docs(Penstock.Stage.Options.filter())}
  """

  @doc false
  @spec configure(keyword) :: {:ok, Penstock.Dispatcher.config()} | {:error, message :: String.t()}
  def configure(options) do
    with {:ok, settings} <- Options.all(options, @options) do
      %{max_demand: max, shuffle_demands_on_first_dispatch: shuffle?, rate: rate} = settings
      shuffle? = shuffle? == true
      {:ok, if(rate, do: {:demand, max, shuffle?, counted(rate)}, else: {:demand, max, shuffle?})}
    end
  end

  defp counted({n, interval}), do: {min(n, Options.most()), interval}

  @doc false
  def rate?({n, interval}), do: is_integer(n) and n > 0 and is_integer(interval) and interval in 1..@longest
  def rate?(_other), do: false
end
