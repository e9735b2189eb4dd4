defmodule Penstock.EventStore.Connection do
  @moduledoc false
  # Finds what the process of a connection keeps, wherever that is.
  #
  # It is read from the process' dictionary and not asked for: a name or pid that is something else's must not get a call
  # that it may die of. What is on another node is of no use here (it belongs to that VM), so calls are made over there
  # and subscriptions open a connection of their own, with the settings of that one.

  alias Penstock.{Error, EventStore, Native, Options}

  @key EventStore

  @takes "a Penstock.EventStore (its pid or name)"

  @type found ::
          {:here, native :: reference}
          | {:elsewhere, node, pid | atom}
          | {:error, Error.t()}

  @typedoc "A connection string and credentials, in a function, so that no report of a crash shows them."
  @type how :: (() -> {String.t(), nil | tuple})

  @doc "Keeps what others look for, in the process of the connection."
  @spec keep(native :: reference, how) :: :ok
  def keep(native, how) do
    Process.put(@key, {native, how})
    :ok
  end

  @doc "Raises for what is no connection's name, and for another process."
  @spec find(EventStore.connection()) :: found
  def find(connection) do
    unless name?(connection), do: refuse!(connection, "")

    case GenServer.whereis(connection) do
      nil -> {:error, not_started(connection)}
      {name, node} -> {:elsewhere, node, name}
      pid when node(pid) == node() -> here(pid, connection)
      pid -> {:elsewhere, node(pid), pid}
    end
  end

  @doc "Whether it can be a connection's process."
  @spec name?(term) :: boolean
  def name?(value) when is_pid(value), do: true

  def name?({name, node}) when is_atom(node) and name not in [:global, :via],
    do: is_atom(name) and node not in [nil, true, false]

  def name?(value), do: Options.name?(value)

  defp here(pid, connection) do
    case Process.info(pid, :dictionary) do
      nil -> {:error, not_started(connection)}
      {:dictionary, dictionary} -> kept(dictionary, pid, connection)
    end
  end

  defp kept(dictionary, pid, connection) do
    case {List.keyfind(dictionary, @key, 0), List.keyfind(dictionary, :"$initial_call", 0)} do
      {{@key, {native, _connection_string}}, _} -> {:here, native}
      {nil, {_, {EventStore, :init, 1}}} -> starting(pid, connection)
      {nil, _} -> refuse!(connection, ", a process that is none")
    end
  end

  # It has its name before it has begun.
  defp starting(pid, connection) do
    {:here, GenServer.call(pid, :handle)}
  catch
    :exit, _reason -> {:error, not_started(connection)}
  end

  defp not_started(connection) do
    %Error{
      reason: :not_started,
      retry?: true,
      message: "the connection #{inspect(connection)} is not started: there is no such process"
    }
  end

  defp refuse!(connection, what) do
    raise ArgumentError,
          "Penstock.EventStore: the connection takes #{@takes}, got: #{inspect(connection)}#{Options.hint(connection)}#{what}"
  end

  @doc "What subscriptions read with: the connection itself, or one of this node's with the same settings."
  @spec open(EventStore.connection()) :: {:ok, native :: reference} | {:error, Error.t()}
  def open(connection) do
    case find(connection) do
      {:here, native} -> {:ok, native}
      {:elsewhere, node, process} -> with {:ok, how} <- ask(node, process), do: open_here(how)
      {:error, error} -> {:error, error}
    end
  end

  defp ask(node, process), do: call(node, __MODULE__, :how, [process])

  @doc "Opens a connection of this node."
  @spec open_here(String.t() | {String.t(), nil | tuple}) :: {:ok, native :: reference} | {:error, Error.t()}
  def open_here({connection_string, credentials}),
    do: with({:ok, native} <- open_here(connection_string), do: as(native, credentials))

  def open_here(connection_string) do
    with {:error, error} <- Native.event_store_open_dirty(connection_string),
         do: {:error, Error.from_native(error)}
  end

  @doc "The connection for calls of somebody else; of its own user with nil."
  @spec as(native :: reference, nil | tuple) :: {:ok, native :: reference} | {:error, Error.t()}
  def as(native, nil), do: {:ok, native}

  def as(native, credentials) do
    with {:error, error} <- Native.event_store_as(native, credentials), do: {:error, Error.from_native(error)}
  end

  @doc "For other nodes: all that it takes to connect, credentials included."
  @spec how(pid | atom) :: {:ok, {String.t(), nil | tuple}} | {:error, Error.t()}
  def how(process) do
    with {:here, _native} <- find(process),
         pid when is_pid(pid) <- GenServer.whereis(process),
         {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {@key, {_native, how}} <- List.keyfind(dictionary, @key, 0) do
      {:ok, how.()}
    else
      {:error, error} -> {:error, error}
      nil -> {:error, not_started(process)}
    end
  end

  @doc "Makes a call on the node where the connection is."
  @spec call(node, module, atom, [term]) :: {:ok, term} | {:error, Error.t()}
  def call(node, module, function, arguments) do
    :erpc.call(node, module, function, arguments)
  catch
    :error, {:erpc, reason} -> unreachable(node, reason)
    :error, {:exception, :undef, _stack} -> no_penstock(node)
    :error, {:exception, reason, _stack} -> :erlang.error(reason)
    :exit, {:exception, reason} -> exit(reason)
  end

  defp unreachable(node, reason) do
    message =
      "the node #{node}, where the connection is, cannot be reached (#{inspect(reason)}); if it was lost meanwhile, what " <>
        "was to be done there may have been done"

    {:error, %Error{reason: :unavailable, retry?: true, message: message}}
  end

  defp no_penstock(node) do
    message = "the node #{node}, where the connection is, does not run this version of Penstock"
    {:error, %Error{reason: :unsupported, message: message}}
  end
end
