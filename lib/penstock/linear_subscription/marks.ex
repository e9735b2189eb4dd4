defmodule Penstock.LinearSubscription.Marks do
  @moduledoc false
  # What the native core has reached between events: how that is told in the log, and what it means for the process.

  require Logger

  alias Penstock.Error

  # What happens to the connection comes at once, what has been emitted once it has been.
  @spec reached({kind :: atom, what :: term}, map) :: {:cont, map} | {:stop, reason :: term, map}
  def reached({:taken, revision}, state) do
    if state.drops > 0 do
      Logger.notice(
        "#{who(state)} #{if state.connected?, do: "resumed", else: "is connected"} #{after_revision(revision)}"
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
    ends = if last, do: "ends at revision #{last}", else: "does not exist"

    Logger.warning(
      "#{who(state)} goes on after revision #{position}, and the stream #{ends}: " <>
        "what is appended up to revision #{position} is not emitted"
    )

    {:cont, state}
  end

  # The revision is that of the last event before.
  def reached({:state, {:subscribed, revision}}, state) do
    Logger.info("#{who(state)} has caught up #{after_revision(revision)} and is in subscription mode")
    {:cont, state}
  end

  def reached({:state, _}, state), do: {:cont, state}

  def reached({:stopped, error}, state), do: {:stop, Error.from_native(error), state}

  @doc "What logs call the process."
  @spec who(map) :: String.t()
  def who(state), do: "Penstock.LinearSubscription #{inspect(self())} of #{inspect(state.stream)}"

  defp after_revision(nil), do: "at the start of the stream"
  defp after_revision(revision), do: "after revision #{revision}"
end
