// Tool schemas as servers want them: OpenAI's shape, whichever of the usual ones context/tools.json has.
import { objectOf } from './json-fields.ts';

/** `{type:"function",function:{…}}` as it is; `{name, description, input_schema | inputSchema | parameters}` put into that shape. */
export function openAiTool(tool: unknown): unknown {
  const { type, function: inner, name, description, ...rest } = objectOf(tool);
  if (inner !== undefined || typeof name !== 'string') return tool;
  // Other types are the server's own tools, which it knows by their type.
  if (type !== undefined && type !== 'function' && type !== 'custom') return tool;
  const parameters = rest['parameters'] ?? rest['input_schema'] ?? rest['inputSchema'] ?? { type: 'object', properties: {} };
  return { type: 'function', function: { name, ...(typeof description === 'string' ? { description } : {}), parameters } };
}
