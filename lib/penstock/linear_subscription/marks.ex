defmodule Penstock.LinearSubscription.Marks do
  @moduledoc false
  # What the native core has reached between events: how that is told in the log, and what it means for the process.

  require Logger

  alias Penstock.{Error, Position, Telemetry}

  @typep place :: non_neg_integer | {commit :: non_neg_integer, prepare :: non_neg_integer} | nil

  # What happens to the connection comes at once, what has been emitted once it has been.
  @spec reached({kind :: atom, what :: term}, map) :: {:cont, map} | {:stop, reason :: term, map}
  def reached({:taken, place}, state) do
    if state.drops > 0 do
      Logger.notice(
        "#{who(state)} #{if state.connected?, do: "resumed", else: "is connected"} #{after_place(place, state)}"
      )
    end

    {:cont, %{state | connected?: true, drops: 0}}
  end

  def reached({:dropped, {error, wait, was_taken?}}, state) do
    error = Error.from_native(error)
    what = if was_taken?, do: "was dropped", else: "could not connect"
    Logger.warning("#{who(state)} #{what}: #{Exception.message(error)}; it is tried again in #{wait} ms")
    {:cont, %{state | last_error: error, drops: state.drops + 1}}
  end

  def reached({:beyond, %{position: position, last_revision: last}}, state) do
    what = if is_integer(position), do: "the stream", else: "the log"
    ends = if last, do: "ends at #{place(last)}", else: "does not exist"

    Logger.warning(
      "#{who(state)} goes on after #{place(position)}, and #{what} #{ends}: " <>
        "what is appended up to #{place(position)} is not emitted"
    )

    {:cont, state}
  end

  # The place is that of the last event before.
  def reached({:state, {:subscribed, place}}, state) do
    Logger.info("#{who(state)} has caught up #{after_place(place, state)} and is in subscription mode")
    {:cont, state}
  end

  def reached({:state, _}, state), do: {:cont, state}

  def reached({:checkpoint, place}, state) do
    position = Position.from_native(place)
    Telemetry.subscription_of(:checkpoint, %{}, %{stream_name: state.stream, position: position})

    case state.on_checkpoint do
      nil -> :ok
      {module, function, arguments} -> apply(module, function, [position | arguments])
      function -> function.(position)
    end

    {:cont, state}
  end

  def reached({:stopped, error}, state), do: {:stop, Error.from_native(error), state}

  @doc "What logs call the process."
  @spec who(map) :: String.t()
  def who(%{stream: :all}), do: "Penstock.LinearSubscription #{inspect(self())} of all streams"

  def who(%{stream: [first | more]}) when more != [],
    do: "Penstock.LinearSubscription #{inspect(self())} of #{inspect(first)} and #{length(more)} more"

  def who(%{stream: stream}), do: "Penstock.LinearSubscription #{inspect(self())} of #{inspect(stream)}"

  @doc "Where it is, as a revision and as a position: one of them is nil."
  @spec places(place) :: {non_neg_integer | nil, Position.t() | nil}
  def places({_commit, _prepare} = place), do: {nil, Position.from_native(place)}
  def places(revision), do: {revision, nil}

  @doc "What is found beyond the end, with positions of the log as such."
  @spec beyond(nil | %{position: place, last_revision: place}) :: nil | map
  def beyond(nil), do: nil
  def beyond(%{} = found), do: Map.new(found, fn {key, place} -> {key, made(place)} end)

  defp made({_commit, _prepare} = place), do: Position.from_native(place)
  defp made(revision), do: revision

  defp after_place(nil, %{stream: stream}) when is_binary(stream), do: "at the start of the stream"
  defp after_place(nil, _state), do: "at the start of the log"
  defp after_place(place, _state), do: "after #{place(place)}"

  defp place({_commit, _prepare} = place), do: "position #{Position.from_native(place)}"
  defp place(revision), do: "revision #{revision}"
end
