defmodule Penstock.Stage.StreamWatcher do
  @moduledoc false
  # A process that subscribes a stream's process to its producers and tells it when one of them is down. The
  # stream's process has its own mailbox kept clean by that: a watcher is ended, and no monitor of a producer can
  # fire any more.

  alias Penstock.Stage.Source

  @type key :: reference
  @type entry :: {to :: term, Source.cancel(), Source.flow(), options :: keyword}

  # The key is the caller's monitor of the watcher.
  @spec start() :: {pid, key}
  def start do
    parent = self()
    {watcher, key} = spawn_monitor(fn -> init(parent) end)
    send(watcher, {parent, key})
    {watcher, key}
  end

  @spec subscribe(pid, key, [entry]) :: {:ok, %{reference => Source.t()}} | {:error, reason :: term}
  def subscribe(watcher, key, entries) do
    send(watcher, {key, {:subscribe, entries}})

    receive do
      {^key, {:sources, sources}} -> {:ok, sources}
      {:DOWN, ^key, _, _, reason} -> {:error, reason}
    end
  end

  # Nothing of the watcher is left in the mailbox afterwards.
  @spec stop(pid, key) :: :ok
  def stop(watcher, key) do
    Process.demonitor(key, [:flush])
    monitor = Process.monitor(watcher)
    Process.exit(watcher, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _reason} -> flush(key))
  end

  defp flush(key) do
    receive do
      {^key, _content} -> flush(key)
    after
      0 -> :ok
    end
  end

  defp init(parent) do
    monitor = Process.monitor(parent)

    receive do
      {^parent, key} -> loop(parent, monitor, key)
      {:DOWN, ^monitor, _, _, reason} -> exit(reason)
    end
  end

  defp loop(parent, monitor, key) do
    receive do
      {^key, {:subscribe, entries}} ->
        send(parent, {key, {:sources, subscribe_all(entries, parent, key)}})
        loop(parent, monitor, key)

      {:DOWN, ^monitor, _, _, reason} ->
        exit(reason)

      {:DOWN, ref, _, _, reason} ->
        send(parent, {key, {:down, ref, reason}})
        loop(parent, monitor, key)
    end
  end

  # All are looked up before the first is subscribed to: a missing one leaves nothing behind.
  defp subscribe_all(entries, parent, key) do
    for {producer, cancel, {max, _min, _max} = flow, options} <- located(entries), into: %{} do
      ref = Process.monitor(producer)
      from = {parent, {key, ref}}
      Process.send(producer, {:"$gen_producer", from, {:subscribe, nil, options}}, [:noconnect])
      Process.send(producer, {:"$gen_producer", from, {:ask, max}}, [:noconnect])
      {ref, {producer, cancel, flow}}
    end
  end

  defp located(entries) do
    Enum.flat_map(entries, fn {to, cancel, flow, options} ->
      case {GenServer.whereis(to), cancel} do
        {nil, :temporary} -> []
        {nil, _cancel} -> exit({:noproc, {Penstock.Stage, :init_stream, [[{to, options}]]}})
        {producer, _cancel} -> [{producer, cancel, flow, options}]
      end
    end)
  end
end
