defmodule Penstock.Stage.Report do
  @moduledoc false
  # What is told of a stage by itself: how it ended, and what it does while `:sys` traces it. The shapes are those of
  # gen_server, so that Logger and whoever handles its reports know them.

  alias Penstock.Stage.{Server, State}

  @file_name __ENV__.file |> Path.relative_to_cwd() |> String.to_charlist()

  # The reason of an end as `terminate/2` gets it.
  @spec reason(:error | :exit, term, Exception.stacktrace() | nil) :: term
  def reason(:error, reason, stack), do: {reason, stack}
  def reason(:exit, reason, _stack), do: reason

  # Whether nobody needs to hear of an end.
  @spec ordinary?(:error | :exit, reason :: term) :: boolean
  def ordinary?(:exit, reason) when reason in [:normal, :shutdown], do: true
  def ordinary?(:exit, {:shutdown, _}), do: true
  def ordinary?(_class, _reason), do: false

  @spec ended(
          reason :: term,
          Exception.stacktrace() | nil,
          message :: term,
          State.t(),
          [:sys.dbg_opt()],
          name :: term
        ) :: :ok
  def ended(reason, stack, message, stage, debug, name) do
    {last, from} = last(message)

    :logger.error(
      %{
        label: {:gen_server, :terminate},
        name: name,
        last_message: last,
        state: Server.format_status(:terminate, [Process.get(), stage]),
        log: :sys.get_log(debug),
        reason: if(stack, do: {reason, stack}, else: reason),
        client_info: client(from),
        process_label: label()
      },
      %{
        mfa: {__MODULE__, :ended, 6},
        file: @file_name,
        line: __ENV__.line,
        domain: [:otp],
        report_cb: &:gen_server.format_log/2,
        error_logger: %{tag: :error, report_cb: &:gen_server.format_log/1}
      }
    )
  end

  defp last({:"$gen_call", from, request}), do: {request, from}
  defp last(message), do: {message, nil}

  defp client(nil), do: :undefined

  defp client({pid, _tag}) when is_pid(pid) and node(pid) == node() do
    case Process.info(pid, [:current_stacktrace, :registered_name]) do
      nil -> {pid, :dead}
      [{:current_stacktrace, stack}, {:registered_name, []}] -> {pid, {pid, stack}}
      [{:current_stacktrace, stack}, {:registered_name, name}] -> {pid, {name, stack}}
    end
  end

  defp client({pid, _tag}), do: {pid, :remote}

  # Since OTP 27 processes have labels.
  defp label do
    if function_exported?(:proc_lib, :get_label, 1),
      do: apply(:proc_lib, :get_label, [self()]),
      else: :undefined
  end

  # What `:sys.trace/2` prints.
  @spec print(:io.device(), event :: term, name :: term) :: :ok
  def print(device, event, name), do: IO.puts(device, "*DBG* #{inspect(name)} #{describe(event)}")

  defp describe({:in, {:"$gen_call", {pid, _tag}, request}}),
    do: "got call #{inspect(request)} from #{inspect(pid)}"

  defp describe({:in, {:"$gen_cast", request}}), do: "got cast #{inspect(request)}"
  defp describe({:in, message}), do: "got #{inspect(message)}"

  defp describe({:out, reply, {pid, _tag}, state}),
    do: "sent #{inspect(reply)} to #{inspect(pid)}, new state #{inspect(state)}"

  defp describe({:noreply, state}), do: "new state #{inspect(state)}"
  defp describe(event), do: inspect(event)
end
