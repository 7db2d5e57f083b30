// Claude Code: ~/.claude/projects/<slug>/<session>.jsonl, one record a line, in a tree of uuids.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asObject, asText, recordEvent } from './common.ts';

export const claudeCode: Converter = {
  format: 'claude-code',

  facts(head): SourceFacts {
    const first = head.find(isConversation);
    const named = head.find((value) => typeof value['sessionId'] === 'string');
    const placed = head.find((value) => typeof value['cwd'] === 'string');
    const agent = first?.['isSidechain'] === true ? asText(first['agentId']) : '';
    return {
      ...(named === undefined ? {} : { session: asText(named['sessionId']) + (agent === '' ? '' : `/${agent}`) }),
      ...(placed === undefined ? {} : { cwd: asText(placed['cwd']) }),
      ...(first === undefined
        ? {}
        : { startedAt: asText(first['timestamp']), sidechain: first['isSidechain'] === true, firstKey: asText(first['uuid']) }),
    };
  },

  key: (value) => (typeof value['uuid'] === 'string' ? value['uuid'] : undefined),
  time: (value) => (typeof value['timestamp'] === 'string' ? value['timestamp'] : undefined),

  convert(value, facts): readonly Draft[] {
    const type = asText(value['type']);
    if (type === 'system' && value['subtype'] === 'compact_boundary') {
      return [{ file: 'events', body: { type: 'import.compaction', record: 'system.compact_boundary' }, verbatim: 'value' }];
    }
    if (!isConversation(value)) {
      const subtype = asText(value['subtype']) || asText(asObject(value['data'])?.['type']);
      return [recordEvent(subtype === '' ? type : `${type}.${subtype}`)];
    }
    const message = asObject(value['message']) ?? {};
    // History is kept whole, so a compaction's summary would say it twice; at the head of a file it is all there is.
    if (value['isCompactSummary'] === true && value['uuid'] !== facts.firstKey) {
      return [{ file: 'events', body: { type: 'import.compaction', record: 'compact_summary', summary: message['content'] ?? '' } }];
    }
    if (value['isApiErrorMessage'] === true) return [recordEvent('api_error')];
    // A sub-agent's turns are its own conversation; the parent has the result in its tool_result.
    if (value['isSidechain'] === true && facts.sidechain !== true) {
      return [
        { file: 'events', body: { type: 'import.sidechain', record: type, message: { role: type, content: message['content'] ?? '' } } },
      ];
    }
    const { id, model, role, content } = message;
    const body: Json = { role: role ?? type, content: content ?? '' };
    if (typeof id === 'string') body['id'] = id;
    if (typeof model === 'string') body['model'] = model;
    return [{ file: 'messages', body }];
  },
};

function isConversation(value: Json): boolean {
  const role = asObject(value['message'])?.['role'];
  return (
    (value['type'] === 'user' && (role === 'user' || role === undefined) && asObject(value['message']) !== undefined) ||
    (value['type'] === 'assistant' && role === 'assistant')
  );
}
