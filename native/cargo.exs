defmodule Penstock.Build.Cargo do
  @moduledoc """
  Runs `cargo build` and says how far it is: nothing at all when there is nothing to build, and otherwise a line every
  few seconds. What cargo and rustc say themselves (warnings, errors, trouble with the network) is passed on at once.

  Cargo ends with this VM: `native/with_parent` sees to it.
  """

  @root Path.expand("..", __DIR__)
  @report_ms 5_000
  @width 80
  # Cargo's words about its own doing; all that is not one of them is for the user.
  @status ~r/^ {1,11}(Adding|Blocking|Building|Compiling|Dirty|Downloaded|Downloading|Fetch|Finished|Fresh|Locking|Unpacking|Updating) /
  @progress ~r/^ {1,11}Building .* (\d+)\/(\d+)(?:: (.*?))?\s*$/

  @type opts :: [
          env: [{String.t(), String.t() | nil}],
          before_work: (() -> :ok | {:error, String.t()}),
          say: (String.t() -> any)
        ]

  @doc """
  Runs cargo with these arguments in the project's root.

  `:before_work` is called when it turns out that cargo has something to do, before it has done much; its error ends
  the build. `:say` is given each line to show.
  """
  @spec build(Path.t(), [String.t()], opts) :: :ok | {:error, String.t()}
  def build(cargo, args, opts) do
    env = [
      {"CARGO_TERM_COLOR", "never"},
      {"CARGO_TERM_QUIET", "false"},
      {"CARGO_TERM_PROGRESS_WHEN", "always"},
      {"CARGO_TERM_PROGRESS_WIDTH", to_string(@width)}
      | Keyword.fetch!(opts, :env)
    ]

    port =
      Port.open({:spawn_executable, System.find_executable("sh")}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        :hide,
        args: [Path.join(@root, "native/with_parent"), cargo | args],
        cd: @root,
        env:
          for({name, value} <- env, do: {to_charlist(name), if(value, do: to_charlist(value), else: false)})
      ])

    now = now()

    follow(%{
      port: port,
      say: Keyword.fetch!(opts, :say),
      before_work: Keyword.fetch!(opts, :before_work),
      rest: "",
      working?: false,
      progress: "getting what it is built from",
      started: now,
      said: now
    })
  end

  defp follow(state) do
    port = state.port

    receive do
      {^port, {:data, data}} ->
        {lines, [rest]} = (state.rest <> data) |> split() |> Enum.split(-1)

        case lines(lines, state) do
          {:ok, state} -> follow(report(%{state | rest: rest}))
          {:error, message} -> stop(port, message)
        end

      {^port, {:exit_status, status}} ->
        if state.rest != "", do: lines([state.rest], state)
        finish(status, state)
    after
      @report_ms -> follow(report(state))
    end
  end

  # What is to be overwritten on a terminal ends with a \r, and is a line here that keeps it.
  defp split(text), do: text |> String.replace("\r", "\r\n") |> String.split("\n")

  # Closing the port ends cargo and all that it has started.
  defp stop(port, message) do
    Port.close(port)
    {:error, message}
  end

  defp lines(lines, state) do
    Enum.reduce_while(lines, {:ok, state}, fn line, {:ok, state} ->
      case line(String.replace(line, "\e[K", ""), state) do
        {:ok, state} -> {:cont, {:ok, state}}
        {:error, message} -> {:halt, {:error, message}}
      end
    end)
  end

  defp line(line, state) do
    case {Regex.run(@progress, line), Regex.run(@status, line)} do
      {[_, done, all | names], _} -> work(%{state | progress: how_far(done, all, names)})
      {nil, [_, word]} when word in ["Finished", "Fresh"] -> {:ok, state}
      {nil, [_, "Blocking"]} -> tell(line, state)
      {nil, [_, _]} -> work(state)
      {nil, nil} -> tell(line, state)
    end
  end

  defp tell(line, state) do
    unless String.ends_with?(line, "\r") and String.trim(line) == "", do: state.say.(line)
    {:ok, state}
  end

  defp work(%{working?: true} = state), do: {:ok, state}

  defp work(state) do
    with :ok <- state.before_work.() do
      state.say.("Building Penstock's Rust core (some minutes the first time)")
      {:ok, %{state | working?: true}}
    end
  end

  defp report(%{working?: false} = state), do: state

  defp report(state) do
    now = now()

    if now - state.said >= @report_ms do
      state.say.("Penstock's Rust core: #{state.progress}, #{div(now - state.started, 1000)} s")
      %{state | said: now}
    else
      state
    end
  end

  defp how_far(done, all, []), do: "building #{done} of #{all}"
  defp how_far(done, all, [names]), do: "building #{done} of #{all} (#{names})"

  defp finish(0, state) do
    if state.working?, do: state.say.("Penstock's Rust core: built in #{div(now() - state.started, 1000)} s")
    :ok
  end

  defp finish(status, _state) do
    {:error, "cargo could not build Penstock's core (exit status #{status}); what it said is above"}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
