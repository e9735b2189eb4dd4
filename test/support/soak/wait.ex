defmodule Penstock.Soak.Wait do
  @moduledoc false
  # Waiting for what must come within a time, in ms.

  import Penstock.Soak.Fault

  @pause 10

  def until(within, done?, otherwise), do: until_then(now() + within, done?, otherwise)

  defp until_then(deadline, done?, otherwise) do
    cond do
      done?.() ->
        :ok

      now() > deadline ->
        law(false, otherwise.())

      true ->
        Process.sleep(@pause)
        until_then(deadline, done?, otherwise)
    end
  end

  @doc "Tells a process to finish, and waits until it has."
  def finish(process, within, who) do
    monitor = Process.monitor(process)
    send(process, :finish)

    receive do
      {:DOWN, ^monitor, :process, _, reason} when reason in [:normal, :noproc] -> :ok
      {:DOWN, ^monitor, :process, _, reason} -> exit(reason)
    after
      within -> law(false, "#{who} has not finished within #{div(within, 1000)} s")
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
