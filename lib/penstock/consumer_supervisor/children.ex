defmodule Penstock.ConsumerSupervisor.Children do
  @moduledoc false
  # The children of a supervisor by their pids: where each one's event came from, and what it is started with
  # again. A child that could not be started again keeps its old pid until it is.

  alias Penstock.ConsumerSupervisor.{Report, Template}

  @type origin :: :dynamic | (tag :: term)
  @type child :: {:running | :restarting, origin, arguments :: [term] | :undefined}
  @type t :: %{pid => child}

  @spec new() :: t
  def new, do: %{}

  @spec put(t, pid, origin, [term] | :undefined) :: t
  def put(children, pid, origin, arguments), do: Map.put(children, pid, {:running, origin, arguments})

  @spec restarting(t, pid) :: t
  def restarting(children, pid), do: Map.update!(children, pid, &put_elem(&1, 0, :restarting))

  @spec delete(t, pid) :: t
  def delete(children, pid), do: Map.delete(children, pid)

  @spec fetch(t, pid) :: {:ok, child} | :error
  def fetch(children, pid), do: Map.fetch(children, pid)

  @spec pids(t) :: [pid | :restarting]
  def pids(children),
    do: for({pid, {status, _, _}} <- children, do: if(status == :running, do: pid, else: :restarting))

  @spec count(t) :: {all :: non_neg_integer, active :: non_neg_integer}
  def count(children),
    do: {map_size(children), Enum.count(children, fn {_pid, child} -> elem(child, 0) == :running end)}

  # Ends children as the template says and waits until they have ended.
  @spec shut_down(t, Penstock.ConsumerSupervisor.t()) :: :ok
  def shut_down(children, %{template: %Template{} = template} = state) do
    {waiting, failed} = watch(children)
    {signal, expected, timer} = order(template.shutdown)
    Enum.each(waiting, fn {_monitor, pid} -> Process.exit(pid, signal) end)
    failed = wait(waiting, expected, timer, failed)
    if timer, do: cancel(timer)
    for {pid, reason} <- failed, do: Report.error(:shutdown_error, reason, pid, :undefined, state)
    :ok
  end

  defp order(:brutal_kill), do: {:kill, :killed, nil}
  defp order(:infinity), do: {:shutdown, :shutdown, nil}
  defp order(time), do: {:shutdown, :shutdown, :erlang.start_timer(time, self(), :kill)}

  # Monitors instead of links; says which children had failed before that.
  defp watch(children) do
    running = for {pid, {:running, _, _}} <- children, do: pid

    Enum.reduce(running, {%{}, []}, fn pid, {waiting, failed} ->
      monitor = Process.monitor(pid)
      Process.unlink(pid)

      receive do
        {:EXIT, ^pid, reason} ->
          Process.demonitor(monitor, [:flush])
          {waiting, if(reason == :normal, do: failed, else: [{pid, reason} | failed])}
      after
        0 -> {Map.put(waiting, monitor, pid), failed}
      end
    end)
  end

  defp wait(waiting, _expected, _timer, failed) when map_size(waiting) == 0, do: failed

  defp wait(waiting, expected, timer, failed) do
    receive do
      {:DOWN, monitor, :process, pid, reason} when is_map_key(waiting, monitor) ->
        failed = if expected?(reason, expected), do: failed, else: [{pid, reason} | failed]
        wait(Map.delete(waiting, monitor), expected, timer, failed)

      {:timeout, ^timer, :kill} ->
        Enum.each(waiting, fn {_monitor, pid} -> Process.exit(pid, :kill) end)
        wait(waiting, expected, timer, failed)
    end
  end

  defp expected?(reason, reason), do: true
  defp expected?(reason, :shutdown), do: reason == :normal or match?({:shutdown, _}, reason)
  defp expected?(_reason, :killed), do: false

  defp cancel(timer) do
    :erlang.cancel_timer(timer)

    receive do
      {:timeout, ^timer, :kill} -> :ok
    after
      0 -> :ok
    end
  end
end
