defmodule Penstock.Stage.Output.Dispatching do
  @moduledoc false
  # What a dispatcher's half in Elixir does, beside the one that counts in the native core. A half has a state of its
  # own, which is the output's; `use` gives it what the natively counted dispatchers do alike.

  alias Penstock.Stage.{Output, Subscribers}

  @type state :: term

  @typedoc "Whom events were dealt to: a subscription, all of them, or those of the partitions that the events have."
  @type recipient :: Subscribers.id() | :everyone | :split

  @typedoc "How many events are to be asked of the source; the number alone when nothing has changed."
  @type asked :: non_neg_integer | {non_neg_integer, Output.t()}

  @type asked_ahead :: asked | {:ahead, recipient, pos_integer}

  @typedoc "What a subscriber gets from its half's queues: what of a partition's, or how many events it lagged behind."
  @type served ::
          {partition :: non_neg_integer, [{Subscribers.id(), pos_integer} | :mark]} | pos_integer

  @doc "The core's dispatcher, as `Penstock.Native.stage_new/3` takes it, and the half's state."
  @callback new(Penstock.Dispatcher.config(), :producer | :producer_consumer) :: {core :: term, state}

  @doc "Whether the core counts what its subscribers wait for, and so can deal events before they have come."
  @callback counted?() :: boolean

  @callback open(Output.t(), Subscribers.id(), Subscribers.from(), options :: keyword) ::
              {:ok, Output.t()} | {:error, reason :: term, Output.t()}

  @callback close(Output.t(), Subscribers.id(), Subscribers.from()) :: Output.t()

  @callback ask(Output.t(), Subscribers.id(), Subscribers.from(), pos_integer) :: asked

  @doc "Sends what an ask has set free of the half's own queues."
  @callback served(Output.t(), Subscribers.id(), served) :: Output.t()

  @doc "Notes which of the half's own queues can be served since a subscription did not want events."
  @callback credited(Output.t(), queue :: non_neg_integer) :: Output.t()

  @doc "Serves from the queues and the buffer what may go by now, and says what is to be asked of the source."
  @callback flow(Output.t()) :: {upstream :: non_neg_integer, Output.t()}

  @callback emit(Output.t(), [term, ...]) :: :delivered | {discarded :: non_neg_integer, Output.t()}

  @doc "Sends events that were dealt to more than one subscription."
  @callback deal(Output.t(), [term, ...], pos_integer) :: Output.t()

  @doc "Sends a message to the process itself once all that is in the half's own queues has been delivered."
  @callback info(Output.t(), message :: term) :: Output.t()

  @callback demand(Output.t()) :: non_neg_integer

  @callback demand_of(Output.t(), Subscribers.id()) :: non_neg_integer | :unknown

  # Only where the core deals to several, or has queues behind the buffer.
  @optional_callbacks served: 3, credited: 2, deal: 3

  defmacro __using__(_options) do
    quote do
      @behaviour Penstock.Stage.Output.Dispatching

      alias Penstock.Stage.Output.Counted

      @impl true
      def counted?, do: true

      @impl true
      def open(output, id, _from, options) do
        with {:ok, output} <- Counted.filter(output, id, options, [:filter]),
             do: {:ok, Counted.subscribe(output, id, nil)}
      end

      @impl true
      defdelegate close(output, id, from), to: Counted

      @impl true
      defdelegate ask(output, id, from, n), to: Counted

      @impl true
      defdelegate flow(output), to: Counted

      @impl true
      def emit(output, events), do: Counted.emit(output, events, length(events))

      @impl true
      defdelegate info(output, message), to: Counted

      @impl true
      defdelegate demand(output), to: Counted

      @impl true
      defdelegate demand_of(output, id), to: Counted

      defoverridable open: 4,
                     close: 3,
                     ask: 4,
                     flow: 1,
                     emit: 2,
                     info: 2,
                     demand: 1,
                     demand_of: 2
    end
  end
end
