defmodule Penstock.Telemetry do
  @moduledoc """
  What Penstock tells through the `:telemetry` library, in programs that have it.

  Penstock does not depend on `:telemetry`: it is looked up when there is something to tell. What happens for every event or
  every ask tells nothing, so that being observed costs nothing; the figures of a stage are for asking, at
  intervals of your choice, with `Penstock.Stage.info/1` or `poll/1`.

  | event | measurements | when |
  |---|---|---|
  | `[:penstock, :stage, :subscribed]` | `system_time` | a stage has a new subscription |
  | `[:penstock, :stage, :cancelled]` | `system_time` | a subscription of a stage has ended |
  | `[:penstock, :stage, :discarded]` | `count` | a producer's buffer was full and events were discarded |
  | `[:penstock, :stage, :lagged]` | `count` | a broadcast dropped events of a consumer that lags behind, as its `:lag` says |
  | `[:penstock, :stage, :paused]` | `system_time` | `Penstock.Stage.pause/1` |
  | `[:penstock, :stage, :resumed]` | `held`: the number of events that were held back | `Penstock.Stage.resume/1` |
  | `[:penstock, :stage, :info]` | `demand`, `buffered`, `held`, `waiting`, `consumers`, `producers` | `poll/1` |

  | `[:penstock, :subscription, :checkpoint]` | `system_time` | a filter of `Penstock.LinearSubscription` has let nothing through up to here |

  Of events of `:subscription` the metadata are `:subscription` (its pid), `:stream_name` and `:position`.
  Of the others they are `:stage` (its pid), `:module` and `:type`. For a subscription, also `:role` (what the other
  side is to the stage, `:producer` or `:consumer`), `:peer` (the other side) and `:tag`; when it has ended, `:kind` (`:cancel` or
  `:down`) and `:reason`. Both sides tell of it, each for itself. Of `:lagged` they are `:stage`, `:peer` and `:tag`.

  Handlers run in the stage's process: let them be quick.
  """

  alias Penstock.Stage

  @compile {:no_warn_undefined, :telemetry}

  @doc """
  Tells the figures of a stage as `[:penstock, :stage, :info]`, and returns them.

  As a measurement of `:telemetry_poller` this is `{Penstock.Telemetry, :poll, [stage]}`.
  """
  @spec poll(Stage.stage()) :: Stage.info()
  def poll(stage) do
    info = Stage.info(stage)

    measurements =
      info
      |> Map.take([:demand, :buffered, :held, :waiting])
      |> Map.merge(%{consumers: length(info.consumers), producers: length(info.producers)})

    execute(:info, measurements, %{stage: info.pid, module: info.module, type: info.type})
    info
  end

  @doc false
  @spec execute(atom, map, map) :: :ok
  def execute(event, measurements, metadata) do
    if listened?(), do: :telemetry.execute([:penstock, :stage, event], measurements, metadata), else: :ok
  end

  @doc false
  @spec subscription_of(atom, map, map) :: :ok
  def subscription_of(event, measurements, metadata) do
    if listened?() do
      measurements = Map.put(measurements, :system_time, System.system_time())
      metadata = Map.put(metadata, :subscription, self())
      :telemetry.execute([:penstock, :subscription, event], measurements, metadata)
    else
      :ok
    end
  end

  # Whoever has attached a handler has loaded it.
  defp listened?, do: function_exported?(:telemetry, :execute, 3)

  @doc false
  @spec stage(atom, map, Penstock.Stage.State.t(), map) :: :ok
  def stage(event, measurements, %{mod: mod, type: type}, more \\ %{}),
    do: execute(event, measurements, Map.merge(more, %{stage: self(), module: mod, type: type}))

  @doc false
  @spec subscription(atom, :producer | :consumer, {term, term}, Penstock.Stage.State.t(), map) :: :ok
  def subscription(event, role, {peer, tag}, stage, more \\ %{}) do
    if listened?() do
      more = Map.merge(more, %{role: role, peer: peer, tag: tag})
      stage(event, %{system_time: System.system_time()}, stage, more)
    else
      :ok
    end
  end
end
