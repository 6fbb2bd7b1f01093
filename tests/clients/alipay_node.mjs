// The life of a payment, by Alipay's own client for Node, `alipay-sdk`; only the address that it calls is another.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { AlipaySdk } from 'alipay-sdk';

const wires = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const kind = wires.kinds.alipay;
const [keys, otherKeys] = kind.accounts.map((account) => account.values);
const heard = [];

function held(what, said, expected) {
  if (JSON.stringify(said) !== JSON.stringify(expected)) {
    console.log(`   ✗ ${what}: ${JSON.stringify(said)} is not ${JSON.stringify(expected)}`);
    process.exit(1);
  }
  console.log(`   ✓ ${what}`);
}

const control = (method, ...args) => fetch(`${wires.base_url}/control/${method}`, { method: 'POST', body: JSON.stringify(args) });
const fault = (name, share) => control('inject', { channel_id: 'alipay', kind: name, share });
const bare = (pem) => pem.split('\n').filter((line) => !line.startsWith('-----')).join('');

async function refused(what, ask) {
  try {
    await ask();
  } catch (error) {
    console.log(`   ✓ ${what}: ${String(error.message).slice(0, 60)}`);
    return;
  }
  held(what, 'taken', 'refused');
}

async function notice(number) {
  for (let tries = 0; tries < 200 && heard.length <= number; tries += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  if (heard.length <= number) held(`callback ${number} came`, false, true);
  return heard[number];
}

const listener = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    heard.push(Object.fromEntries(new URLSearchParams(body)));
    response.writeHead(200).end('success');
  });
});
await new Promise((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
const notifyUrl = `http://127.0.0.1:${listener.address().port}/notices`;

const client = (changes) => new AlipaySdk({
  appId: keys.app_id, privateKey: bare(keys.app_private_key), keyType: 'PKCS8',
  alipayPublicKey: bare(keys.alipay_public_key), gateway: `${kind.base_url}/gateway.do`, ...changes,
});
const sdk = client({});
const verified = { validateSign: true };
const ask = (method, bizContent, more = {}) => sdk.exec(method, { bizContent, ...more }, verified);

const made = await ask('alipay.trade.precreate', { out_trade_no: 'node1', total_amount: '100.00', subject: '车险保费' }, { notifyUrl });
held('a code is made', made.code, '10000');
await fetch(made.qrCode, { method: 'POST', body: new URLSearchParams({ act: 'pay' }) });
const told = await notice(0);
held('its callback is verified', sdk.checkNotifySignV2({ ...told }), true);
held('a changed one is not', sdk.checkNotifySignV2({ ...told, total_amount: '1.00' }), false);
const found = await ask('alipay.trade.query', { out_trade_no: 'node1' });
held('a question tells the same', [found.tradeStatus, found.totalAmount], ['TRADE_SUCCESS', '100.00']);
const back = await ask('alipay.trade.refund', { out_trade_no: 'node1', refund_amount: '4.00', out_request_no: 'nodeback1' });
held('a refund is taken', [back.fundChange, back.refundFee], ['Y', '4.00']);
await control('advance', 60);
const done = await ask('alipay.trade.fastpay.refund.query', { out_trade_no: 'node1', out_request_no: 'nodeback1' });
held('and done', [done.refundStatus, done.refundAmount], ['REFUND_SUCCESS', '4.00']);

const page = sdk.pageExecute('alipay.trade.page.pay', 'GET', {
  bizContent: { out_trade_no: 'nodepage1', total_amount: '50.00', subject: '车险保费', product_code: 'FAST_INSTANT_TRADE_PAY' },
});
held('a page shows what is to be paid', (await (await fetch(page)).text()).includes('50.00'), true);
held('its trade is closed', (await ask('alipay.trade.close', { out_trade_no: 'nodepage1' })).code, '10000');

for (const name of ['ANSWER_BAD_SIGNATURE', 'ANSWER_OTHER_CERTIFICATE']) {
  await fault(name, 1);
  await refused(`${name} is refused`, () => ask('alipay.trade.query', { out_trade_no: 'node1' }));
  await fault(name, 0);
}
const other = client({ privateKey: bare(otherKeys.app_private_key) });
const answer = await other.exec('alipay.trade.query', { bizContent: { out_trade_no: 'node1' } }, verified);
held("another's key signs for nobody else", answer.subCode, 'isv.invalid-signature');
const deaf = client({ alipayPublicKey: bare(otherKeys.alipay_public_key) });
await refused('an answer is not verified by another key', () => deaf.exec('alipay.trade.query', { bizContent: { out_trade_no: 'node1' } }, verified));

const day = new Date(Date.now() + 28_800_000).toISOString().slice(0, 10);
await control('advance', 2 * 86_400);
const bill = await ask('alipay.data.dataservice.bill.downloadurl.query', { bill_type: 'trade', bill_date: day });
const file = Buffer.from(await (await fetch(bill.billDownloadUrl)).arrayBuffer());
held('a statement is a zip', file.subarray(0, 2).toString(), 'PK');

listener.close();
process.exit(0);
