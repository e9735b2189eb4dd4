defmodule Penstock.Stage.State do
  @moduledoc false
  # What a stage process knows of itself.

  alias Penstock.Stage.{Output, Source, Subscribers}

  @enforce_keys [:mod, :state, :type, :handle_demand, :handle_events]
  defstruct [
    :mod,
    :state,
    :type,
    :handle_demand,
    :handle_events,
    :output,
    :backlog,
    :paused,
    mode: :forward,
    sources: %{}
  ]

  # The two callbacks that are called for every message are kept as functions: that spares looking them up.
  @spec new(:producer | :producer_consumer | :consumer, module, state :: term) :: t
  def new(type, mod, state) do
    %__MODULE__{
      mod: mod,
      state: state,
      type: type,
      handle_demand: &mod.handle_demand/2,
      handle_events: &mod.handle_events/3
    }
  end

  @typedoc "Held back while a producer accumulates, newest first."
  @type held ::
          {:demand, pos_integer}
          | {:ask, Subscribers.id(), pos_integer}
          | {:events, [term, ...]}
          | {:info, term}

  @typedoc "Waits in a producer_consumer until its own consumers ask."
  @type waiting ::
          {:events, [term], size :: non_neg_integer, from :: {term, tag :: term}}
          | {:info, term}
          | {:cancel, Source.cancel(), {:cancel | :down, term}, from :: {term, tag :: term}}

  @type t :: %__MODULE__{
          mod: module,
          state: term,
          type: :producer | :producer_consumer | :consumer,
          handle_demand: (pos_integer, term -> term),
          handle_events: ([term], from :: {pid, term}, term -> term),
          output: Output.t() | nil,
          backlog: :queue.queue(waiting) | nil,
          paused: nil | {mode_then :: :forward | :accumulate, asks :: [{Subscribers.id(), integer}]},
          mode: :forward | [held],
          sources: %{(tag :: reference) => Source.t()}
        }

  @typedoc "How a step of a stage ends."
  @type step :: {:noreply, t} | {:noreply, t, :hibernate | :collect} | {:stop, reason :: term, t}
end
