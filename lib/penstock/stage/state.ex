defmodule Penstock.Stage.State do
  @moduledoc false
  # What a stage process knows of itself.

  alias Penstock.Stage.{Outlet, Source}

  @enforce_keys [:mod, :state, :type]
  defstruct [:mod, :state, :type, :outlet, :backlog, :paused, queue: :ours, mode: :forward, sources: %{}]

  @typedoc "Held back while a producer accumulates, newest first."
  @type held :: {:demand, pos_integer} | {:events, [term, ...]} | {:info, term}

  @typedoc "Waits in a producer_consumer until its own consumers ask."
  @type waiting ::
          {:events, [term], size :: non_neg_integer, from :: {term, tag :: term}}
          | {:info, term}
          | {:cancel, Source.cancel(), {:cancel | :down, term}, from :: {term, tag :: term}}

  @type t :: %__MODULE__{
          mod: module,
          state: term,
          type: :producer | :producer_consumer | :consumer,
          outlet: Outlet.t() | nil,
          backlog: :queue.queue(waiting) | nil,
          paused: nil | {mode_then :: :forward | :accumulate, asks :: [{from :: {pid, term}, integer}]},
          queue: queue,
          mode: :forward | [held],
          sources: %{(tag :: reference) => Source.t()}
        }

  @typedoc "Whether we choose how the message queue of the process is kept, or have been told."
  @type queue :: :ours | :theirs

  @typedoc "How a step of a stage ends, as gen_server takes it."
  @type step :: {:noreply, t} | {:noreply, t, :hibernate | {:continue, term}} | {:stop, reason :: term, t}
end
