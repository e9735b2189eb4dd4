defmodule Penstock.Soak.Runner do
  @moduledoc false
  # Runs schedule after schedule, each in a process and a folder of its own, and says what became of them.

  alias Penstock.Soak.{Fault, Kinds}

  @limit 300_000

  @doc """
  Runs schedules of a kind, from this seed on, until `seconds` are over or `trials` are done; the faults found.
  """
  def run(kind, seed, limits) do
    run(kind, seed, limits, now(), {0, 0, []})
  end

  defp run(kind, seed, limits, began, {schedules, trials, faults}) do
    over? = now() - began >= limits.seconds * 1000 or trials >= limits.trials

    if over? and schedules > 0 do
      IO.puts("#{kind}: #{schedules} schedules, #{trials} #{Kinds.trials(kind)}, #{length(faults)} faults")
      Enum.reverse(faults)
    else
      {done, found} = schedule(kind, seed)
      run(kind, seed + 1, limits, began, {schedules + 1, trials + done, found ++ faults})
    end
  end

  defp schedule(kind, seed) do
    remember(kind, seed)
    began = now()

    case one(kind, seed) do
      {:ok, {trials, text}} ->
        IO.puts("#{kind} #{seed}: held in #{now() - began} ms: #{text}")
        {trials, []}

      {:fault, text} ->
        IO.puts(
          "#{kind} #{seed}: FAULT after #{now() - began} ms: #{text}\n  again: test/soak #{kind} --seed #{seed}"
        )

        {1, [{kind, seed}]}
    end
  end

  # Whoever started the VM can tell by this which schedule has ended it.
  defp remember(kind, seed) do
    case System.get_env("PENSTOCK_SOAK_CURRENT") do
      nil -> :ok
      file -> File.write!(file, "#{kind} --seed #{seed}")
    end
  end

  @doc "Runs one schedule: `{:ok, {trials, text}}` or `{:fault, text}`."
  def one(kind, seed) do
    folder = Path.join(System.tmp_dir!(), "penstock-soak-#{System.pid()}-#{seed}")
    File.mkdir_p!(folder)
    # What is linked to it ends with it.
    {pid, monitor} = spawn_monitor(fn -> exit({:shutdown, {:held, Kinds.module(kind).run(seed, folder)}}) end)

    try do
      receive do
        {:DOWN, ^monitor, :process, ^pid, reason} -> outcome(reason)
      after
        @limit -> hangs(pid)
      end
    after
      File.rm_rf!(folder)
    end
  end

  defp outcome({:shutdown, {:held, answer}}), do: {:ok, answer}
  defp outcome({%Fault{message: message}, _stack}), do: {:fault, message}
  defp outcome(reason), do: {:fault, Exception.format_exit(reason)}

  defp hangs(pid) do
    where = Process.info(pid, :current_stacktrace)
    Process.exit(pid, :kill)
    {:fault, "the schedule has not ended within #{div(@limit, 1000)} s: #{inspect(where)}"}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
