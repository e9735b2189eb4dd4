defmodule Stages.Filler do
  @moduledoc "A producer whose events come when nobody has asked for them."

  def init(kind), do: {:producer, kind, buffer_size: :infinity}
  def handle_demand(_n, kind), do: {:noreply, [], kind}
  def handle_info({:fill, first, n}, kind), do: {:noreply, Stages.Events.list(kind, first, n), kind}
  def handle_call(:settled, _from, kind), do: {:reply, :ok, [], kind}
end

defmodule Stages.Buffer do
  @moduledoc """
  Fills a producer's buffer through `handle_info` and drains it, in steps of which each is answered: so the longest
  step is the longest that the producer kept anyone waiting.
  """

  @step 100
  @ask 1000

  def time(row, library) do
    bench = self()
    # a heap of its own that is large enough: what is measured are not the bench's collections
    {pid, monitor} =
      :erlang.spawn_opt(fn -> send(bench, {:buffered, self(), run(row, library)}) end, [
        :monitor,
        min_heap_size: 4_000_000
      ])

    receive do
      {:buffered, ^pid, result} ->
        Process.demonitor(monitor, [:flush])
        result

      {:DOWN, ^monitor, _, _, reason} ->
        exit(reason)
    end
  end

  defp run(row, library) do
    {:ok, producer} = library.stage.start_link(Stages.Filler, row.kind)

    {fill, fill_pause} =
      timed(div(row.size, @step), fn step ->
        send(producer, {:fill, step * @step, @step})
        :ok = library.stage.call(producer, :settled)
      end)

    {:total_heap_size, words} = Process.info(producer, :total_heap_size)
    tag = make_ref()
    send(producer, {:"$gen_producer", {self(), tag}, {:subscribe, nil, []}})

    {drain, drain_pause} =
      timed(div(row.size, @ask), fn _step ->
        send(producer, {:"$gen_producer", {self(), tag}, {:ask, @ask}})
        await(producer, tag, @ask)
      end)

    Process.unlink(producer)
    monitor = Process.monitor(producer)
    Process.exit(producer, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
    %{time: fill + drain, pause: max(fill_pause, drain_pause), heap: words * :erlang.system_info(:wordsize)}
  end

  defp await(_producer, _tag, 0), do: :ok

  defp await(producer, tag, n) do
    receive do
      {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
        await(producer, tag, n - length(events))
    end
  end

  # All steps, and the longest.
  defp timed(steps, step) do
    began = System.monotonic_time(:nanosecond)
    longest = timed(0, steps, step, began, 0)
    {System.monotonic_time(:nanosecond) - began, longest}
  end

  defp timed(steps, steps, _step, _began, longest), do: longest

  defp timed(n, steps, step, began, longest) do
    step.(n)
    now = System.monotonic_time(:nanosecond)
    timed(n + 1, steps, step, now, max(longest, now - began))
  end
end
