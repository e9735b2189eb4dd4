defmodule Penstock.ConsumerSupervisor.Template do
  @moduledoc false
  # The one child specification of a supervisor, and how a child is started from it.

  alias __MODULE__

  @enforce_keys [:id, :start, :restart, :shutdown, :type, :modules]
  defstruct @enforce_keys

  @type t :: %Template{
          id: term,
          start: {module, atom, [term]},
          restart: :permanent | :transient | :temporary,
          shutdown: non_neg_integer | :infinity | :brutal_kill,
          type: :worker | :supervisor,
          modules: [module] | :dynamic
        }
  @type started :: {:ok, pid} | {:ok, pid, info :: term} | :ignore | {:error, reason :: term}

  # Whatever stands for a specification becomes one; what does not is left for `new/1` to complain of.
  @spec expand(term) :: term
  def expand({_id, _start, _restart, _shutdown, _type, _modules} = specification), do: specification
  def expand(child) when is_map(child) or is_atom(child), do: Supervisor.child_spec(child, [])
  def expand({module, _argument} = child) when is_atom(module), do: Supervisor.child_spec(child, [])
  def expand(other), do: other

  @spec new(term) :: {:ok, t} | {:error, {:bad_specs, term}}
  def new([child]) do
    case :supervisor.check_childspecs([child]) do
      :ok -> {:ok, normal(child)}
      {:error, reason} -> {:error, {:bad_specs, reason}}
    end
  end

  def new(_children),
    do: {:error, {:bad_specs, "consumer supervisor expects a list with a single item as a template"}}

  defp normal({id, start, restart, shutdown, type, modules}) do
    %Template{id: id, start: start, restart: restart, shutdown: shutdown, type: type, modules: modules}
  end

  defp normal(%{id: id, start: {module, _, _} = start} = child) do
    type = Map.get(child, :type, :worker)

    %Template{
      id: id,
      start: start,
      restart: Map.get(child, :restart, :permanent),
      shutdown: Map.get(child, :shutdown, if(type == :supervisor, do: :infinity, else: 5000)),
      type: type,
      modules: Map.get(child, :modules, [module])
    }
  end

  @spec refuse_permanent(t) :: :ok | {:error, {:bad_opts, String.t()}}
  def refuse_permanent(%Template{restart: :permanent, id: id}) do
    {:error,
     {:bad_opts,
      "a child specification with :restart set to :permanent, which is its default, is not supported in " <>
        "ConsumerSupervisor: set :restart of #{inspect(id)} to :temporary, so that children are never restarted, or to " <>
        ":transient, so that they are when they have failed"}}
  end

  def refuse_permanent(_template), do: :ok

  @spec arguments(t, [term]) :: [term]
  def arguments(%Template{start: {_module, _function, arguments}}, more), do: arguments ++ more

  @spec start(t, [term]) :: started
  def start(%Template{start: {module, function, _arguments}}, arguments) do
    case apply(module, function, arguments) do
      {:ok, pid} = started when is_pid(pid) -> started
      {:ok, pid, _info} = started when is_pid(pid) -> started
      :ignore -> :ignore
      {:error, _reason} = error -> error
      other -> {:error, other}
    end
  catch
    :exit, reason -> {:error, reason}
    :error, reason -> {:error, {reason, __STACKTRACE__}}
    :throw, value -> {:error, {{:nocatch, value}, __STACKTRACE__}}
  end
end
